"""The dense encoding: what every other one is measured against, and the winner of ties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nfcompile.sparse.encoding import Array, check_rule

__all__ = ["DenseTensor"]


@dataclass(frozen=True, eq=False)
class DenseTensor:
    """All values of a weight.

    Attributes:
        values: Shape (out, in).
    """

    values: Array
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        check_rule(
            self.values.ndim == 2,
            f"dense weight must have 2 dimensions, got {self.values.ndim}",
        )

    @classmethod
    def from_dense(cls, weight: Array) -> "DenseTensor":
        """Wraps `weight` of shape (out, in) without a copy."""
        return cls(weight)

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def stored(self) -> int:
        """Out * in."""
        return self.values.size

    def components(self) -> Mapping[str, Array]:
        """The one array."""
        return {"values": self.values}

    def numpy(self) -> Array:
        """The values themselves."""
        return self.values
