"""A kernel compiled for one device: what a driver loads.

Needs Triton, of which it reads the environment: see `nfcompile.gpu.aot`.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from nfcompile.gpu.variants import Variant

__all__ = ["ARCHITECTURES", "Image", "compile_images"]

ARCHITECTURES = (80, 90)
"""Compute capabilities that have images of their own; any newer one takes the PTX of the first."""

_MOST_SHARED = {80: 99 << 10, 90: 227 << 10}
"""Bytes per program: of the smallest device of that major version, CUDA C++ Programming Guide."""

_OLD_PTX = 80
"""PTX 8.0: drivers since CUDA 12.0 take it."""

_ELEMENTS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i32": "i32", "u16": "u16"}
_INT32_LISTS = {"starts", "columns"}
_LIKE_X = {"x", "bias", "residual", "y"}
_FLOATS = {"alpha", "beta"}
_FEATURES = {"in_features", "out_features"}
_ALIGNMENT = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Image:
    """A compiled kernel.

    Attributes:
        architecture: Compute capability, such as 90.
        is_ptx: Whether `data` is PTX, ended by a zero byte, else a cubin.
        data: What the driver loads.
        warps: Of 32 threads, per program.
        shared_bytes: Dynamic shared memory per program.
        entry: Name of the function in it.
    """

    architecture: int
    is_ptx: bool
    data: bytes
    warps: int
    shared_bytes: int
    entry: str


def _source(variant: Variant) -> Any:
    from triton.compiler import ASTSource

    function = getattr(import_module(f"nfcompile.gpu.{variant.kernel}"), variant.kernel)
    types: dict[str, str] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for place, name in enumerate(function.arg_names):
        pointer = True
        if name in variant.constants:
            types[name], pointer = "constexpr", False
        elif name in _LIKE_X:
            types[name] = "*" + _ELEMENTS[variant.x_type]
        elif name == "values":
            types[name] = "*" + _ELEMENTS[variant.value_type]
        elif name == "indices":
            types[name] = "*" + _ELEMENTS[variant.index_type]
        elif name in _INT32_LISTS:
            types[name] = "*i32"
        else:
            types[name], pointer = "fp32" if name in _FLOATS else "i32", False
        if pointer or (variant.multiples_of_16 and name in _FEATURES):
            attributes[place,] = _ALIGNMENT
    return ASTSource(function, types, dict(variant.constants), attributes)


def _check(symbol: str, architecture: int, metadata: Any) -> None:
    scratch = (metadata.global_scratch_size or 0) + (metadata.profile_scratch_size or 0)
    if scratch != 0:
        raise ValueError(f"{symbol} wants {scratch} bytes of scratch memory, which none is given")
    most = _MOST_SHARED[architecture]
    if metadata.shared > most:
        raise ValueError(
            f"{symbol} takes {metadata.shared} bytes of shared memory, of which devices of compute "
            f"capability {architecture // 10}.x have {most}"
        )


def compile_images(variant: Variant, architecture: int) -> list[Image]:
    """Compiles a variant to a cubin, and, for the first architecture, to PTX.

    Raises:
        ValueError: If it needs more of the device than there is.
        Exception: What Triton raises where it cannot compile the kernel.
    """
    import triton
    from triton.backends.compiler import GPUTarget

    options = {
        "num_warps": variant.warps,
        "num_stages": variant.stages,
        "enable_fp_fusion": True,
    }
    portable = architecture == ARCHITECTURES[0]
    if portable:
        options["ptx_version"] = _OLD_PTX
    target = GPUTarget("cuda", architecture, 32)
    kernel = triton.compile(_source(variant), target=target, options=options)
    metadata = kernel.metadata
    _check(variant.symbol, architecture, metadata)
    binaries = [(False, kernel.asm["cubin"])]
    if portable:
        binaries.append((True, kernel.asm["ptx"].encode() + b"\0"))
    return [
        Image(architecture, is_ptx, data, metadata.num_warps, metadata.shared, metadata.name)
        for is_ptx, data in binaries
    ]
