"""What a linear layer costs on a GPU: microseconds per call, from a roofline.

    time = launch + max(flops / rate, bytes of memory / bandwidth, bytes of the L2 cache / its own)

    memory     the weight as it is stored, and activations where they outgrow the cache
    L2, bsr    x once per block and row of the batch, each block once per tile of the batch
    L2, csr    a sector of 32 bytes per non-zero and row of the batch: x is gathered

Where there are fewer programs than multiprocessors, only a share of all that is used. Dense is
cuBLAS, in TF32 where the model is fp32, as ONNX Runtime runs it by default. So BSR of large blocks
wins where enough of them are zero, block-diagonal weights nearly everywhere, and CSR at the
smallest batches only. The kernels are those of `nfcompile/gpu/`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["GpuConstants", "constants", "estimate_us", "kernel_of", "provenance"]

_SQUARES = (128, 64, 32, 16)
_SMALL = (2, 4, 8)
_SMALL_BATCH = 16
_SECTOR = 32
_INDEX = 2
_ALONE = 3.0
"""Shares of the bandwidth that a multiprocessor draws where most others are idle: an assumption."""


@dataclass(frozen=True)
class GpuConstants:
    """What a GPU can do.

    Attributes:
        launch_us: Microseconds of any call.
        operator_us: Those that a call of our operators takes besides.
        multiprocessors: Number of them.
        memory_tbps: Bandwidth of the memory, terabytes a second.
        l2_mb: Size of the second-level cache, megabytes.
        l2_tbps: Its bandwidth.
        tflops: Rates by kernel, block size and type of the stored values; of `dense` by the type of
            the activations.
    """

    launch_us: float
    operator_us: float
    multiprocessors: int
    memory_tbps: float
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


def kernel_of(candidate: Candidate, half: bool = False) -> tuple[str, int]:
    """The kernel that runs a candidate, and the size of its blocks (0 where it has none).

    Args:
        candidate: Encoding and shape of the weight.
        half: Whether activations are in fp16 or bf16.
    """
    rows, columns = candidate.blocksize
    square = next((size for size in _SQUARES if rows % size == columns % size == 0), 0)
    if candidate.kind == "bsr" and square:
        return "bsr", square
    if candidate.kind != "block-diagonal":
        return ("dense" if candidate.kind == "dense" else "csr"), 0
    if candidate.strides == (1, 1) and square:
        return "bsr", square
    if not all(candidate.strides) or rows != columns:
        return "csr", 0
    if rows in _SMALL:
        return "block_diagonal_small", rows
    # Columns of that many neighbouring blocks must lie in a row or side by side.
    together = max(128 // rows, 2) if _both_strided(candidate) else _group(rows, half)
    fits = all(stride == 1 or stride % together == 0 for stride in candidate.strides)
    return ("block_diagonal", rows) if rows in _SQUARES and fits else ("csr", 0)


def estimate_us(candidate: Candidate, batch: int, target: Target) -> float:
    """Estimated microseconds of one call.

    Args:
        candidate: Encoding and shape of the weight.
        batch: Rows of the activations.
        target: Gives the types of activations and stored values.
    """
    gpu = constants()
    kernel, size = kernel_of(candidate, bool(target.half))
    activations = batch * sum(candidate.shape) * target.activation_bytes
    cached = 2 * activations <= gpu.l2_mb * 1e6
    memory = candidate.nbytes + (0 if cached else activations)
    memory_us = memory / gpu.memory_tbps / 1e6
    flops = 2.0 * candidate.stored * batch
    if kernel == "dense":
        rate = gpu.rate(kernel, 0, target.half or "fp32")
        return gpu.launch_us + max(flops / rate / 1e6, memory_us, activations / gpu.l2_tbps / 1e6)
    outputs, rows = _per_program(candidate, kernel, size, batch, target)
    tiles = -(-batch // rows)
    read = activations + candidate.stored * target.value_bytes * tiles
    if kernel == "csr":
        read += candidate.stored * (_SECTOR * batch + _INDEX * tiles)
    if kernel == "bsr":
        read += candidate.stored // size * max(batch, _SMALL_BATCH) * target.activation_bytes
    programs = -(-candidate.shape[0] // outputs) * tiles
    busy = programs / gpu.multiprocessors
    work_us = max(memory_us, read / gpu.l2_tbps / 1e6) / min(1.0, _ALONE * busy)
    if kernel != "csr":
        rate = gpu.rate(kernel, size, target.stored)
        work_us = max(work_us, flops / rate / 1e6 / min(1.0, busy))
    return gpu.launch_us + gpu.operator_us + work_us


def _both_strided(candidate: Candidate) -> bool:
    return min(candidate.strides) > 1


def _group(size: int, half: bool) -> int:
    """Blocks of a program for 16 rows of the batch: see `nfcompile/gpu/variants.py`."""
    return (16 if half else 8) // (2 if size == 128 else 1)


def _per_program(
    candidate: Candidate, kernel: str, size: int, batch: int, target: Target
) -> tuple[int, int]:
    """Outputs and rows of the batch that a program computes: see `nfcompile/gpu/variants.py`."""
    if kernel == "csr":
        return 4, 1 if batch == 1 else 8
    if kernel == "bsr":
        small = batch <= _SMALL_BATCH
        return (min(size, 32), _SMALL_BATCH) if small else (size, 128 if target.half else 64)
    if kernel == "block_diagonal_small":
        return (256, 1) if batch == 1 else (32 * size, 16)
    if batch <= 8 and _both_strided(candidate):
        return max(128, 2 * size), 8
    return _group(size, bool(target.half)) * size, 16
