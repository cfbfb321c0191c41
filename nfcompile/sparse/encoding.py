"""The contract of an encoding: how the non-zeros of a weight matrix are stored.

An encoding describes a matrix of shape (out, in): rows are outputs, `y = W x`. It is immutable and
hashable by identity, its arrays are named after scipy's, and `numpy()` is its dense oracle.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from nfcompile.errors import InputError

__all__ = ["Array", "Encoding", "check_rule", "narrowest_index_dtype"]

Array = np.ndarray


@runtime_checkable
class Encoding(Protocol):
    """How a weight of shape (out, in) is stored."""

    @property
    def kind(self) -> str:
        """Short name of the encoding, such as `csr`."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored values."""
        ...

    @property
    def stored(self) -> int:
        """Number of values stored, explicit zeros and padding included."""
        ...

    def components(self) -> Mapping[str, Array]:
        """The arrays by name, in the order in which the operator takes them as inputs."""
        ...

    def numpy(self) -> Array:
        """The weight as a dense array of shape (out, in)."""
        ...


def narrowest_index_dtype(limit: int) -> np.dtype:
    """The narrowest type for indices in [0, limit) that the operators take.

    Args:
        limit: Number of columns (or block columns).
    """
    if limit <= 1 << 8:
        return np.dtype(np.uint8)
    if limit <= 1 << 16:
        return np.dtype(np.uint16)
    return np.dtype(np.int32)


def check_rule(holds: bool, message: str) -> None:
    """Raises InputError with `message` unless the rule holds."""
    if not holds:
        raise InputError(message)
