"""A CUDA driver of which no part is real: kernels run in Triton's interpreter, on host memory.

`stand_in.c` is compiled to a libcuda whose device memory is the host's, and whose launches come
here: the embedded image that was launched says which variant it is, its parameters say what it is
called with, and the Triton source of that variant is interpreted. So the library's packing, its
choice of kernels, its grids and the order of its parameters are all tested without a GPU.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, tl

from nfcompile.gpu.variants import VARIANTS, Variant
from nfcompile.runtime.op_library import op_library_path

__all__ = ["VARIABLE", "StandIn", "build", "interpret"]

VARIABLE = "NFCOMPILE_CUDA_STAND_IN"

# Parameters of a kernel by their kinds: p pointer, i int32, f float32.
_TAIL = "ppp" + "iiiiffii"
_PARAMETERS = {
    "bsr": "p" + "ppp" + _TAIL,
    "bsr_vector": "p" + "ppp" + _TAIL,
    "csr": "p" + "ppp" + _TAIL,
    "block_diagonal": "p" + "p" + "ppp" + "ii" + _TAIL[3:],
    "block_diagonal_small": "p" + "p" + "ppp" + "ii" + _TAIL[3:],
}
_VARIANTS = {variant.symbol: variant for variant in VARIANTS}
_TYPES = {
    "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i32": torch.int32,
    "u16": torch.uint16,
}  # fmt: skip
_KINDS = {"p": ctypes.c_uint64, "i": ctypes.c_int32, "f": ctypes.c_float}
_CONSTANTS = ("size", "rows", "group", "batch", "csr_rows", "x_strided", "y_strided")


class _Image(ctypes.Structure):
    _fields_ = [
        ("symbol", ctypes.c_char_p),
        ("kernel", ctypes.c_char_p),
        ("x_type", ctypes.c_char_p),
        ("value_type", ctypes.c_char_p),
        ("index_type", ctypes.c_char_p),
        ("architecture", ctypes.c_int32),
        ("is_ptx", ctypes.c_int32),
        ("offset", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("warps", ctypes.c_int32),
        ("shared_bytes", ctypes.c_int32),
        ("entry", ctypes.c_char_p),
        *[(name, ctypes.c_int32) for name in _CONSTANTS],
    ]


@dataclass(frozen=True)
class Launched:
    """One launch.

    Attributes:
        symbol: The variant.
        architecture: Of the image: 80 or 90.
        is_ptx: Whether the image was PTX.
        grid: Programs along each axis.
    """

    symbol: str
    architecture: int
    is_ptx: bool
    grid: tuple[int, int, int]


class StandIn:
    """The stand-in that the library has loaded; `launched` is what it was asked to run."""

    def __init__(self, path: Path) -> None:
        self.launched: list[Launched] = []
        self.failures: list[BaseException] = []
        self._driver = ctypes.CDLL(str(path))
        self._images = dict(_images())
        kind = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_uint] * 5,
            ctypes.POINTER(ctypes.c_void_p),
        )  # fmt: skip
        self._callback = kind(self._launch)
        ctypes.c_void_p.in_dll(self._driver, "stand_in_launch").value = ctypes.cast(
            self._callback, ctypes.c_void_p
        ).value

    def __getitem__(self, name: str) -> int:
        return ctypes.c_int.in_dll(self._driver, f"stand_in_{name}").value

    def __setitem__(self, name: str, value: int) -> None:
        ctypes.c_int.in_dll(self._driver, f"stand_in_{name}").value = value

    def _launch(self, at: int, entry: bytes, *rest: Any) -> None:
        try:
            image = self._images[at]
            assert entry == image.entry
            *grid, threads, shared, arguments = rest
            assert threads == 32 * image.warps and shared == image.shared_bytes
            self.launched.append(
                Launched(image.symbol.decode(), image.architecture, bool(image.is_ptx), tuple(grid))
            )
            kinds = _PARAMETERS[image.kernel.decode()]
            values = [
                ctypes.cast(arguments[i], ctypes.POINTER(_KINDS[kind])).contents.value
                for i, kind in enumerate(kinds)
            ]
            if not self["dry"]:
                interpret(_VARIANTS[image.symbol.decode()], tuple(grid), values)
        except BaseException as error:  # it cannot leave through C
            self.failures.append(error)


def interpret(variant: Variant, grid: tuple[int, ...], arguments: list[Any]) -> None:
    """Runs a kernel's source; pointers are addresses."""
    function = getattr(import_module(f"nfcompile.gpu.{variant.kernel}"), variant.kernel)
    named = dict(zip(function.arg_names, arguments, strict=False))
    for name, address in named.items():
        of = {
            "values": variant.value_type, "indices": variant.index_type, "starts": "i32",
            "columns": "i32", **dict.fromkeys(("x", "bias", "residual", "y"), variant.x_type),
        }.get(name)  # fmt: skip
        if of is not None:
            named[name] = _at(address, _TYPES[of])
    function[grid](**named, **variant.constants)


_create_dot = InterpreterBuilder.create_dot


def _dot(builder: Any, a: TensorHandle, b: TensorHandle, *rest: Any) -> TensorHandle:
    """Triton's own takes the bits of bfloat16, which it keeps as uint16, for numbers."""
    return _create_dot(builder, _widened(a), _widened(b), *rest)


def _widened(handle: TensorHandle) -> TensorHandle:
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    bits = handle.data.astype(np.uint32) << 16
    return TensorHandle(bits.view(np.float32), tl.float32)


InterpreterBuilder.create_dot = _dot


def _at(address: int, kind: torch.dtype) -> torch.Tensor:
    """What the interpreter takes for a pointer: it asks a tensor for its address and type only."""
    if address == 0:
        return torch.empty(0, dtype=kind)
    return torch.frombuffer((ctypes.c_byte * kind.itemsize).from_address(address), dtype=kind)


def _images() -> Iterator[tuple[int, _Image]]:
    library = ctypes.CDLL(op_library_path("cuda"))
    get = library.NfcompileCudaImages
    get.restype = ctypes.POINTER(_Image)
    count, data = ctypes.c_size_t(), ctypes.c_void_p()
    found = get(ctypes.byref(count), ctypes.byref(data))
    for i in range(count.value):
        yield (data.value or 0) + found[i].offset, found[i]


def build(folder: Path) -> Path:
    """Compiles the stand-in."""
    path = folder / "libcuda-stand-in.so"
    source = Path(__file__).with_name("gpu") / "stand_in.c"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", path, source], check=True)
    return path
