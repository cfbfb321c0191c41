"""What every topology is: a value with a name, parsable text, and the masks of its factors."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, TypeAlias

import numpy as np
from scipy.sparse import csr_array

__all__ = ["Mask", "Topology"]

Mask: TypeAlias = "csr_array[np.int64, tuple[int, int]]"


class Topology(ABC):
    """A fixed pattern of connections from `n` inputs to `n` outputs.

    Subclasses are frozen dataclasses whose fields are integers and booleans, so a topology is
    hashable and `nfcompile.topology.parse(str(topology)) == topology`.

    Attributes:
        name: What the text form calls this kind of topology.
        n: Width: the number of inputs, and of outputs.
        skip: Whether the input is added to the output.
    """

    name: ClassVar[str]
    n: int
    skip: bool

    @abstractmethod
    def branches(self) -> list[list[Mask]]:
        """Cascades that run side by side on the same input and are summed.

        Returns:
            For each branch the `[n, n]` masks of its factors in order of application; rows are
            outputs, stored values are ones.
        """

    @abstractmethod
    def factors(self) -> list[Mask]:
        """The whole topology as one cascade, skip apart.

        Returns:
            Masks in order of application; rows are outputs. `F[-1] @ ... @ F[0]` counts the
            paths from each input (column) to each output (row).
        """

    @property
    @abstractmethod
    def edges(self) -> int:
        """Number of weights, which is the sum of `nnz` over `factors()`."""

    def __str__(self) -> str:
        """The text that `nfcompile.topology.parse` reads back."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = (f"{field.name}={getattr(self, field.name)}".lower() for field in fields)
        return f"{self.name}({', '.join(values)})"
