"""Finds the block-diagonal form of a mask: its connected components.

Rows and columns are the two sides of a bipartite graph, non-zeros its edges. Rows and columns of
different components never meet, so sorting by component makes the matrix block-diagonal; that is
worth something where the blocks are nearly dense and of nearly one size.
"""

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from nfcompile.sparse.block_diagonal import BlockDiagonalTensor
from nfcompile.sparse.csr import CsrTensor
from nfcompile.sparse.encoding import Array

__all__ = ["find_block_diagonal"]


def find_block_diagonal(csr: CsrTensor, min_fill: float = 0.5) -> BlockDiagonalTensor | str:
    """The block-diagonal form of `csr`, or the reason why it has none.

    Args:
        csr: Any weight.
        min_fill: Least share of stored values that must be non-zero; below it, padding the
            blocks to one size costs more than indices do.
    """
    out_features, in_features = csr.shape
    if not csr.stored:
        return "no non-zeros"
    rows, columns = csr.rows(), csr.indices.astype(np.int64)
    graph = scipy.sparse.csr_array(
        (np.ones(csr.stored, np.int8), (rows, columns + out_features)),
        shape=(out_features + in_features, out_features + in_features),
    )
    _, label = connected_components(graph, directed=False)
    used_row = np.diff(csr.indptr) > 0
    row_label, column_label = label[:out_features], label[out_features:]
    # Blocks in the order of their first row; rows without non-zeros join no block yet.
    order, first = np.unique(row_label[used_row], return_index=True)
    block_of_label = np.full(label.max() + 1, -1)
    block_of_label[order[np.argsort(first)]] = np.arange(len(order))
    blocks = len(order)
    if blocks == 1:
        return "one connected component"

    row_block = np.where(used_row, block_of_label[row_label], -1)
    column_block = block_of_label[column_label]
    rows_of_label, cols_of_label = (
        np.bincount(item[item >= 0], minlength=blocks) for item in (row_block, column_block)
    )
    least = blocks * int(rows_of_label.max()) * int(cols_of_label.max())
    if csr.stored < min_fill * least:  # before any table is made: they could outgrow the weight
        return f"{blocks} components, but only {csr.stored / least:.0%} full"
    rows_of = _members(row_block, blocks)
    cols_of = _members(column_block, blocks)
    rows_of = _place_empty_rows(rows_of, np.flatnonzero(~used_row))
    blocks = len(rows_of)
    cols_of = np.pad(cols_of, ((0, blocks - len(cols_of)), (0, 0)), constant_values=-1)
    stored = blocks * rows_of.shape[1] * cols_of.shape[1]
    if csr.stored < min_fill * stored:
        return f"{len(order)} components, but only {csr.stored / stored:.0%} full"

    row_slot, col_slot = _slots(rows_of, out_features), _slots(cols_of, in_features)
    values = np.zeros((blocks, rows_of.shape[1], cols_of.shape[1]), csr.dtype)
    values[row_block[rows], row_slot[rows], col_slot[columns]] = csr.values
    return BlockDiagonalTensor(values, rows_of, cols_of, out_features, in_features)


def _members(block: Array, blocks: int) -> Array:
    """Members of each block in ascending order, shape (blocks, largest), padded with -1."""
    members = np.flatnonzero(block >= 0)
    members = members[np.argsort(block[members], kind="stable")]
    count = np.bincount(block[members], minlength=blocks)
    table = np.full((blocks, count.max()), -1, np.int32)
    slot = np.arange(len(members)) - np.repeat(np.cumsum(count) - count, count)
    table[block[members], slot] = members
    return table


def _place_empty_rows(rows_of: Array, empty: Array) -> Array:
    """Puts rows without non-zeros into padding slots, then into blocks of their own."""
    free = np.argwhere(rows_of < 0)[: len(empty)]
    rows_of[free[:, 0], free[:, 1]] = empty[: len(free)]
    left = empty[len(free) :]
    extra = np.full((-(-len(left) // rows_of.shape[1]), rows_of.shape[1]), -1, np.int32)
    extra.reshape(-1)[: len(left)] = left
    return np.concatenate([rows_of, extra])


def _slots(table: Array, size: int) -> Array:
    """Position of each index within its block."""
    slot = np.zeros(size, np.int64)
    block, position = np.nonzero(table >= 0)
    slot[table[block, position]] = position
    return slot
