"""A compiled kernel launched by itself, without the library that it is meant for."""

import ctypes
from collections.abc import Sequence
from typing import Any

from nfcompile.gpu.image import Image

__all__ = ["Launcher", "arguments"]

_DYNAMIC_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_BY_DEFAULT = 48 << 10
_SCRATCH = 2  # pointers that Triton adds, and no kernel uses
_LANES = 32

Argument = ctypes.c_uint64 | ctypes.c_int32 | ctypes.c_float


def arguments(
    x: Any, arrays: Sequence[Any], y: Any, strides: Sequence[int], shape: tuple[int, int, int]
) -> list[Argument]:
    """What a kernel without an epilogue is told.

    Args:
        x: Tensor (batch, in).
        arrays: Tensors: values, then lists.
        y: Tensor (batch, out).
        strides: Of columns and rows, of a block-diagonal weight.
        shape: Batch, in_features, out_features.
    """
    pointers = [x.data_ptr(), *(array.data_ptr() for array in arrays), 0, 0, y.data_ptr()]
    made: list[Argument] = [ctypes.c_uint64(pointer) for pointer in pointers]
    made += [ctypes.c_int32(number) for number in (*strides, *shape, 0)]
    made += [ctypes.c_float(0), ctypes.c_float(0), ctypes.c_int32(0), ctypes.c_int32(0)]
    return made + [ctypes.c_uint64(0)] * _SCRATCH


class Launcher:
    """A kernel, loaded into the current context."""

    def __init__(self, image: Image, driver: Any = None) -> None:
        """Loads it.

        Args:
            image: A cubin for this device.
            driver: libcuda, or one like it.

        Raises:
            RuntimeError: If the driver refuses it.
        """
        self._driver = driver or ctypes.CDLL("libcuda.so.1")
        self._image = image
        module = ctypes.c_void_p()
        self._function = ctypes.c_void_p()
        self._check(self._driver.cuModuleLoadData(ctypes.byref(module), image.data))
        entry = image.entry.encode()
        self._check(self._driver.cuModuleGetFunction(ctypes.byref(self._function), module, entry))
        if image.shared_bytes > _BY_DEFAULT:
            self._check(
                self._driver.cuFuncSetAttribute(
                    self._function, _DYNAMIC_SHARED_BYTES, image.shared_bytes
                )
            )

    def launch(self, grid: tuple[int, int], given: Sequence[Argument], stream: int = 0) -> None:
        """Enqueues it.

        Raises:
            RuntimeError: If the driver refuses it.
        """
        pointers = (ctypes.c_void_p * len(given))(*(ctypes.addressof(item) for item in given))
        self._check(
            self._driver.cuLaunchKernel(
                self._function, *grid, 1, _LANES * self._image.warps, 1, 1,
                self._image.shared_bytes, ctypes.c_void_p(stream), pointers, None,
            )
        )  # fmt: skip

    def _check(self, result: int) -> None:
        if result:
            raise RuntimeError(f"the driver gives {result} for {self._image.entry}")
