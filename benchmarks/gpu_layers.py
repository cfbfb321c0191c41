"""Layers that `benchmarks/gpu.py` measures: weights by what is stored of them."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["BF16", "FP16", "FP32", "NARROW", "Epilogue", "Layer", "block_diagonal", "bsr"]

Array = np.ndarray

BF16, FP16, FP32, NARROW = ("bf16", "bf16"), ("f16", "f16"), ("f32", "f32"), ("f32", "bf16")
"""Types of activations and of stored values."""


@dataclass(frozen=True)
class Epilogue:
    """What follows a product in the same kernel.

    Attributes:
        bias: A number that is added to every output, or None.
        activation: `none`, `gelu` or `clip`.
        bounds: Of `clip`.
    """

    bias: float | None = None
    activation: str = "none"
    bounds: tuple[float, float] = (0.0, 0.0)

    def __bool__(self) -> bool:
        return self != Epilogue()


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight of shape (out, in) by what is stored of it, fp32.

    Attributes:
        kind: `bsr`, `block-diagonal` or `csr`.
        out_features: Rows.
        in_features: Columns.
        values: (blocks, R, C), or (nnz,).
        indices: Block columns, or columns; None for block-diagonal weights.
        indptr: Starts of rows of blocks, or of rows; None likewise.
        strides: Of columns and rows of a block-diagonal weight.
        epilogue: What follows.
    """

    kind: str
    out_features: int
    in_features: int
    values: Array
    indices: Array | None = None
    indptr: Array | None = None
    strides: tuple[int, int] = (1, 1)
    epilogue: Epilogue = field(default_factory=Epilogue)

    @property
    def index_bytes(self) -> int:
        """Bytes of the indices as they lie on the device."""
        if self.indices is None or self.indptr is None:
            return 0
        narrow = self.kind == "csr" and self.in_features <= 1 << 16
        return (2 if narrow else 4) * self.indices.size + 4 * self.indptr.size

    def product(self, cuda: Any, types: tuple[str, str]) -> Any:
        """The weight on the device, for activations and with values of these types."""
        x_type, precision = types
        if self.kind == "block-diagonal":
            return cuda.BlockDiagonalProduct(
                self.values, None, None, self.strides[1], self.strides[0],
                self.in_features, self.out_features, precision, x_type,
            )  # fmt: skip
        make = cuda.BsrProduct if self.kind == "bsr" else cuda.CsrProduct
        return make(self.values, self.indices, self.indptr, self.in_features, precision, x_type)

    def places(self) -> tuple[Array, Array]:
        """Rows and columns of the values, to be broadcast to their shape."""
        if self.kind == "block-diagonal":
            blocks, height, width = self.values.shape
            cols, rows = (
                strided_indices(blocks, size, stride)
                for size, stride in zip((width, height), self.strides, strict=True)
            )
            return rows[:, :, None], cols[:, None, :]
        assert self.indices is not None and self.indptr is not None
        row = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        if self.kind == "csr":
            return row, self.indices
        _, height, width = self.values.shape
        rows = row[:, None] * height + np.arange(height)
        cols = self.indices.astype(np.int64)[:, None] * width + np.arange(width)
        return rows[:, :, None], cols[:, None, :]


def bsr(
    out: int, inside: int, block: int, density: float, *, epilogue: Epilogue | None = None
) -> Layer:
    """Random square blocks, at least one, so scaled that outputs are about 1."""
    rng = np.random.default_rng((out, inside, block, round(100 * density)))
    mask = rng.random((out // block, inside // block)) < density
    mask[0, 0] = True
    width = max(1.0, mask.sum() * block / len(mask))
    values = rng.standard_normal((int(mask.sum()), block, block), np.float32)
    return Layer(
        "bsr",
        out,
        inside,
        values / np.float32(math.sqrt(width)),
        np.nonzero(mask)[1].astype(np.int32),
        np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32),
        epilogue=epilogue or Epilogue(),
    )


def block_diagonal(n: int, size: int, stride: int) -> Layer:
    """A factor of a butterfly: blocks over indices that differ in one digit."""
    rng = np.random.default_rng((n, size, stride))
    values = rng.standard_normal((n // size, size, size), np.float32) / np.float32(size**0.5)
    return Layer("block-diagonal", n, n, values, strides=(stride, stride))
