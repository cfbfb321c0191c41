"""What a linear layer costs on a GPU: microseconds per call, from a roofline.

    time = max(node, device) + min(node, device) / 10
    device = start + max(flops / rate, bytes of memory / bandwidth, bytes of L2 / its own)

    node       what the host does for a node, while the device works on those before: the same for
               all kernels, so that of layers which the host bounds the one with less work wins
    start      of a kernel behind another
    memory     the weight as it is stored, and activations where they outgrow the cache
    L2, bsr    x once per block, row of the batch and program of the block's rows; each block once
               per tile of the batch
    L2, csr    a sector of 32 bytes per non-zero and row of the batch: x is gathered

Where there are fewer programs than multiprocessors, only a share of all that is used. Dense is
cuBLAS, in TF32 where the model is fp32, as ONNX Runtime runs it by default. So BSR of large blocks
wins where enough of them are zero, block-diagonal weights nearly everywhere, and CSR at the
smallest batches only. What a program computes is told by the list of kernels that the library is
built from, `nfcompile/gpu/variants.py`, all of them, as devices of compute capability 9.0 have.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nfcompile.gpu.variants import VARIANTS, Variant
from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["GpuConstants", "constants", "estimate_us", "kernel_of", "provenance"]

_SQUARES = sorted({item.size for item in VARIANTS if item.kernel == "bsr"}, reverse=True)
_TYPES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_SECTOR = 32
_INDEX = 2
_MOST_COUNTED = 2**31 - 1025
"""Elements that a program's rows may have, as `csrc/cuda/pack.cc` has it."""
_HIDDEN = 0.1
"""The share of a time that still counts where another hides it."""
_SUMS_ALONE = 1 << 15
_ALONE_COST, _SHARED_COST = 6, 5
"""A program with so many sums has a multiprocessor to itself, and takes longer."""
_ALONE = 3.0
"""Shares of the bandwidth that a multiprocessor draws where most others are idle: an assumption."""


@dataclass(frozen=True)
class GpuConstants:
    """What a GPU can do.

    Attributes:
        start_us: Microseconds that a kernel takes to start behind another.
        node_us: Those that the host takes for a node of ONNX Runtime.
        multiprocessors: Number of them.
        memory_tbps: Bandwidth of the memory, terabytes a second, of a copy: read and written.
        read_tbps: The same where it is read only.
        l2_mb: Size of the second-level cache, megabytes.
        l2_tbps: Its bandwidth.
        tflops: Rates by kernel, block size and type of the stored values; of `dense` by the type of
            the activations.
    """

    start_us: float
    node_us: float
    multiprocessors: int
    memory_tbps: float
    read_tbps: float
    l2_mb: float
    l2_tbps: float
    tflops: Mapping[str, Mapping[str, Any]]

    def rate(self, kernel: str, size: int, stored: str) -> float:
        """Teraflops a second of a kernel; `size` is 0 where it has no blocks."""
        of_kernel = self.tflops[kernel]
        found: float = (of_kernel[str(size)] if size else of_kernel)[stored]
        return found


@cache
def _stored() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("gpu.json").read_text())
    return loaded


@cache
def constants() -> GpuConstants:
    """The constants that estimates are made from."""
    return GpuConstants(**_stored()["constants"])


def provenance() -> Mapping[str, Any]:
    """Which GPU, sources and date the constants come from."""
    found: Mapping[str, Any] = _stored()["provenance"]
    return found


def kernel_of(candidate: Candidate, target: Target) -> tuple[str, int]:
    """The kernel that runs a candidate, and the size of its blocks (0 where it has none).

    Args:
        candidate: Encoding and shape of the weight.
        target: Gives the types of activations and stored values.
    """
    rows, columns = candidate.blocksize
    square = next((size for size in _SQUARES if rows % size == columns % size == 0), 0)
    if candidate.kind == "bsr" and square:
        return "bsr", square
    if candidate.kind != "block-diagonal":
        return ("dense" if candidate.kind == "dense" else "csr"), 0
    if candidate.strides == (1, 1) and square:
        return "bsr", square
    if all(candidate.strides) and rows == columns:
        for kernel in ("block_diagonal", "block_diagonal_small"):
            if _variants(kernel, rows, candidate.strides, target):
                return kernel, rows
    return "csr", 0


def estimate_us(candidate: Candidate, batch: int, target: Target) -> float:
    """Estimated microseconds of one call.

    Args:
        candidate: Encoding and shape of the weight.
        batch: Rows of the activations.
        target: Gives the types of activations and stored values.
    """
    gpu = constants()
    kernel, size = kernel_of(candidate, target)
    activations = batch * sum(candidate.shape) * target.activation_bytes
    cached = 2 * activations <= gpu.l2_mb * 1e6
    memory_us = candidate.nbytes / gpu.read_tbps / 1e6
    memory_us += 0 if cached else activations / gpu.memory_tbps / 1e6
    flops = 2.0 * candidate.stored * batch
    if kernel == "dense":
        rate = gpu.rate(kernel, 0, target.half or "fp32")
        work_us = max(flops / rate / 1e6, memory_us, activations / gpu.l2_tbps / 1e6)
        return _call_us(gpu, work_us)
    fitting = _variants(kernel, size, candidate.strides, target)
    variant = _picked(fitting, candidate.shape, batch)
    outputs, rows = variant.outputs, variant.rows
    tiles = -(-batch // rows)
    read = activations + candidate.stored * target.value_bytes * tiles
    if kernel == "csr":
        read += candidate.stored * (_SECTOR * batch + _INDEX * tiles)
    if kernel == "bsr":
        read += candidate.stored // outputs * batch * target.activation_bytes
    programs = -(-candidate.shape[0] // outputs) * tiles
    busy = programs / gpu.multiprocessors
    work_us = max(memory_us, read / gpu.l2_tbps / 1e6) / min(1.0, _ALONE * busy)
    if kernel != "csr":
        rate = gpu.rate(kernel, size, target.stored)
        work_us = max(work_us, flops / rate / 1e6 / min(1.0, busy))
    return _call_us(gpu, work_us)


def _call_us(gpu: GpuConstants, work_us: float) -> float:
    device_us = gpu.start_us + work_us
    return max(gpu.node_us, device_us) + _HIDDEN * min(gpu.node_us, device_us)


def _picked(fitting: tuple[Variant, ...], shape: tuple[int, int], batch: int) -> Variant:
    """What the library launches: as `Product::Pick` in `csrc/cuda/product.cc`.

    Args:
        fitting: Variants for these weights, few rows first.
        shape: Of the weight, (out, in).
        batch: Rows of the activations.
    """
    counted = [item for item in fitting if item.rows * max(shape) <= _MOST_COUNTED]
    fitting = tuple(counted) or fitting[:1]

    single = fitting[0].rows == 1
    if len(fitting) == 1 or (single and batch == 1):
        return fitting[0]

    def cost(item: Variant) -> int:
        programs = -(-shape[0] // item.outputs) * -(-batch // item.rows)
        rounds = -(-programs // constants().multiprocessors)
        group = item.constants.get("G", 0)
        read = (item.rows + (item.size if group else item.outputs)) * max(group, 1)
        alone = item.rows * item.outputs >= _SUMS_ALONE
        return rounds * read * (_ALONE_COST if alone else _SHARED_COST)

    return min(fitting[single:], key=cost)


@cache
def _variants(
    kernel: str, size: int, strides: tuple[int, int], target: Target
) -> tuple[Variant, ...]:
    """What the library has for these weights, few rows of the batch first."""
    types = _TYPES[target.half or "fp32"], _TYPES[target.stored]
    found: dict[int, Variant] = {}
    for item in VARIANTS:
        named = item.kernel == kernel or (item.kernel, kernel) == ("bsr_vector", "bsr")
        typed = (item.x_type, item.value_type) == types
        if named and typed and item.size == size and _fits(item, strides):
            found.setdefault(item.rows, item)  # the first is the faster
    return tuple(found[rows] for rows in sorted(found))


def _fits(variant: Variant, strides: tuple[int, int]) -> bool:
    """Whether neighbouring blocks lie as a variant takes them; strides of rows and columns."""
    constants = variant.constants
    if "ALIGNED" in constants:
        together = all(stride % constants["G"] == 0 for stride in strides)
        return together or not constants["ALIGNED"]
    if variant.kernel != "block_diagonal":
        return True
    strided = constants["Y_STRIDED"], constants["X_STRIDED"]
    return all(
        stride > 1 and stride % constants["G"] == 0 if wanted else stride == 1
        for stride, wanted in zip(strides, strided, strict=True)
    )
