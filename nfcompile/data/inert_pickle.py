"""Reads pickled numpy arrays of bytes without running anything that the file names.

A pickle may call any function. Here the three names that a pickled array needs stand for inert
classes of ours that only keep what they are given, and every other name is refused. The unpickler
is the one in Python: the one in C allocates whatever size a broken file states.
"""

import math
import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcompile.errors import InputError

__all__ = ["MAX_BYTES", "PickledArray", "read_pickle"]

MAX_BYTES = 2**26  # a batch of CIFAR-10 has 31 MB


class _Kind:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and the like: bytes have none."""


class PickledArray:
    """Stands for a `numpy.ndarray`, and for the function that rebuilds one."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def numpy(self) -> npt.NDArray[np.uint8]:
        """The array, read-only.

        Raises:
            ValueError: If it is not a whole array of uint8.
        """
        match self.state:
            case (int(), tuple(shape), _Kind(code="u1" | b"u1"), order, bytes(values)):
                sized = all(type(size) is int and 0 < size <= len(values) for size in shape)
                if sized and math.prod(shape) == len(values):
                    flat = np.frombuffer(values, np.uint8)
                    return flat.reshape(shape, order="F" if order else "C")
        raise ValueError("not a whole array of uint8")


_ALLOWED: dict[tuple[str, str], type] = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): PickledArray,
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
}


class _InertUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str, /) -> type:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of one")
        return _ALLOWED[module, name]


def read_pickle(path: Path) -> object:
    """What the file holds: plain Python values, strings of Python 2 as bytes, `PickledArray`.

    Args:
        path: A file of at most `MAX_BYTES`.

    Raises:
        InputError: If it cannot be read, is broken, or names anything else.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path} must have at most {MAX_BYTES} bytes, got {size}")
        return _InertUnpickler(BytesIO(path.read_bytes()), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # a broken pickle may raise anything
        reason = ascii(str(error) or type(error).__name__)[1:-1]
        message = f"{path} must be a pickled batch: {reason:.200}; get the file again"
        raise InputError(message) from error
