"""Block-sparse rows: dense R x C blocks, one index per block.

y[R*p + r] = sum_{e = indptr[p]}^{indptr[p+1]-1} sum_c values[e, r, c] * x[C*indices[e] + c]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nfcompile.sparse.csr import CsrTensor
from nfcompile.sparse.encoding import Array, check_rule, narrowest_index_dtype

__all__ = ["BsrTensor", "count_blocks"]

_LARGE_GRID = 1 << 24


@dataclass(frozen=True, eq=False)
class BsrTensor:
    """A weight by its non-zero blocks, block row by block row, block columns sorted.

    Attributes:
        values: Shape (blocks, R, C).
        indices: Block column of each block, shape (blocks,).
        indptr: Start of each block row, shape (out / R + 1,).
        in_features: Number of columns, a multiple of C.

    Raises:
        InputError: If lengths do not fit together.
    """

    values: Array
    indices: Array
    indptr: Array
    in_features: int
    kind: ClassVar[str] = "bsr"

    def __post_init__(self) -> None:
        check_rule(
            self.values.ndim == 3 and min(self.values.shape[1:]) >= 1,
            f"BSR values must have shape (blocks, R, C), got {self.values.shape}",
        )
        blocks, _, width = self.values.shape
        check_rule(
            len(self.indices) == blocks and self.indptr[0] == 0 and self.indptr[-1] == blocks,
            f"BSR indptr must run from 0 to {blocks} and indices have {blocks} entries, "
            f"got {self.indptr[0]} to {self.indptr[-1]} and {len(self.indices)}",
        )
        check_rule(
            self.in_features % width == 0,
            f"BSR in_features must be a multiple of {width}, got {self.in_features}",
        )

    @classmethod
    def from_csr(cls, csr: CsrTensor, blocksize: tuple[int, int]) -> "BsrTensor":
        """Gathers the non-zeros of `csr` into (R, C) blocks; both must divide its shape."""
        height, width = blocksize
        out_features, in_features = csr.shape
        check_rule(
            out_features % height == 0 and in_features % width == 0,
            f"blocksize {height}x{width} must divide the shape {out_features}x{in_features}",
        )
        block_columns = in_features // width
        rows, columns = csr.rows(), csr.indices.astype(np.int64)
        keys = (rows // height) * block_columns + columns // width
        at, position = np.unique(keys, return_inverse=True)
        values = np.zeros((len(at), height, width), csr.dtype)
        values[position, rows % height, columns % width] = csr.values
        indptr = np.zeros(out_features // height + 1, np.int32)
        block_rows = at // max(block_columns, 1)
        np.cumsum(np.bincount(block_rows, minlength=out_features // height), out=indptr[1:])
        indices = (at % max(block_columns, 1)).astype(narrowest_index_dtype(block_columns))
        return cls(values, indices, indptr, in_features)

    @classmethod
    def from_dense(cls, weight: Array, blocksize: tuple[int, int]) -> "BsrTensor":
        """Keeps the non-zero blocks of `weight`, shape (out, in)."""
        return cls.from_csr(CsrTensor.from_dense(weight), blocksize)

    @property
    def blocksize(self) -> tuple[int, int]:
        """(R, C)."""
        return self.values.shape[1], self.values.shape[2]

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return (len(self.indptr) - 1) * self.blocksize[0], self.in_features

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def stored(self) -> int:
        """Blocks * R * C."""
        return self.values.size

    def components(self) -> Mapping[str, Array]:
        """values, indices, indptr."""
        return {"values": self.values, "indices": self.indices, "indptr": self.indptr}

    def numpy(self) -> Array:
        """Dense, shape (out, in)."""
        height, width = self.blocksize
        blocks = np.zeros(
            (len(self.indptr) - 1, height, self.in_features // width, width), self.dtype
        )
        block_rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        blocks[block_rows, :, self.indices.astype(np.int64), :] = self.values
        return blocks.reshape(self.shape)


def count_blocks(csr: CsrTensor, blocksize: tuple[int, int]) -> int:
    """How many (R, C) blocks hold a non-zero of `csr`, without making them."""
    height, width = blocksize
    block_columns = -(-csr.shape[1] // width)
    keys = (csr.rows() // height) * block_columns + csr.indices.astype(np.int64) // width
    grid = -(-csr.shape[0] // height) * block_columns
    if grid > _LARGE_GRID:  # a table of the grid would outgrow the weight
        return len(np.unique(keys))
    present = np.zeros(grid, bool)
    present[keys] = True
    return int(present.sum())
