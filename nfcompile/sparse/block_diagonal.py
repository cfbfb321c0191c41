"""Dense blocks on the diagonal, after a permutation of rows and one of columns.

    y[rows[b, r]] = sum_c values[b, r, c] * x[cols[b, c]]

Every butterfly factor of any radix, both factors of Monarch, every Clos stage and every grouped
layer is one. Where a permutation follows the rule

    index(b, e) = (b // s) * (size * s) + e * s + b % s        (size: entries per block)

only its stride s is stored: s = 1 is the identity, s = number of blocks the full transpose, and
s = r**l takes digit l of a radix-r butterfly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nfcompile.sparse.encoding import Array, check_rule

__all__ = ["BlockDiagonalTensor", "stride_of", "strided_indices"]


@dataclass(frozen=True, eq=False)
class BlockDiagonalTensor:
    """A weight by its blocks and where their rows and columns lie.

    Attributes:
        values: Shape (B, R, C), zero where padded.
        rows: Output of each block row, shape (B, R), int32, -1 where padded; each output
            appears once.
        cols: Input of each block column, shape (B, C), int32, -1 where padded.
        out_features: Number of outputs.
        in_features: Number of inputs.

    Raises:
        InputError: If shapes do not fit together or an output is missing.
    """

    values: Array
    rows: Array
    cols: Array
    out_features: int
    in_features: int
    kind: ClassVar[str] = "block-diagonal"

    def __post_init__(self) -> None:
        check_rule(
            self.values.ndim == 3
            and self.rows.shape == self.values.shape[:2]
            and self.cols.shape == (self.values.shape[0], self.values.shape[2]),
            f"block-diagonal values (B, R, C), rows (B, R) and cols (B, C) must agree, "
            f"got {self.values.shape}, {self.rows.shape}, {self.cols.shape}",
        )
        placed = np.sort(self.rows[self.rows >= 0])
        check_rule(
            np.array_equal(placed, np.arange(self.out_features)),
            f"block-diagonal rows must hold each of {self.out_features} outputs once",
        )
        check_rule(
            self.cols.size == 0 or self.cols.max() < self.in_features,
            f"block-diagonal cols must be below {self.in_features}",
        )

    @property
    def row_stride(self) -> int:
        """The stride that gives `rows` by the rule, or 0."""
        return stride_of(self.rows) if self.rows.size == self.out_features else 0

    @property
    def col_stride(self) -> int:
        """The stride that gives `cols` by the rule, or 0."""
        return stride_of(self.cols) if self.cols.size == self.in_features else 0

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.out_features, self.in_features

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def stored(self) -> int:
        """B * R * C."""
        return self.values.size

    def components(self) -> Mapping[str, Array]:
        """values, then rows and cols where they follow no stride."""
        named = {"values": self.values}
        if not self.row_stride:
            named["rows"] = self.rows.reshape(-1)
        if not self.col_stride:
            named["cols"] = self.cols.reshape(-1)
        return named

    def numpy(self) -> Array:
        """Dense, shape (out, in)."""
        dense = np.zeros(self.shape, self.dtype)
        block, row, col = np.nonzero((self.rows[:, :, None] >= 0) & (self.cols[:, None, :] >= 0))
        dense[self.rows[block, row], self.cols[block, col]] = self.values[block, row, col]
        return dense


def strided_indices(blocks: int, size: int, stride: int) -> Array:
    """Indices of shape (blocks, size), int32, by the rule; `stride` must divide `blocks`."""
    block = np.arange(blocks)[:, None]
    entry = np.arange(size)[None, :]
    return ((block // stride) * (size * stride) + entry * stride + block % stride).astype(np.int32)


def stride_of(indices: Array) -> int:
    """The stride s >= 1 with `strided_indices(blocks, size, s) == indices`, or 0 if none."""
    blocks, size = indices.shape
    if blocks == 0 or size == 0:
        return 0
    stride = int(indices[0, 1] - indices[0, 0]) if size > 1 else 1
    if stride < 1 or blocks % stride:
        return 0
    return stride if np.array_equal(strided_indices(blocks, size, stride), indices) else 0
