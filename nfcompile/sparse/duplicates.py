"""Equal rows of a sparse matrix, found by hashing and then compared."""

import numpy as np
import scipy.sparse

from nfcompile.sparse.encoding import Array

__all__ = ["equal_rows", "rows_differ"]


def equal_rows(matrix: scipy.sparse.csr_array, extra: Array | None) -> tuple[Array, Array]:
    """Classes of equal rows, numbered by their first row.

    Args:
        matrix: Canonical: columns sorted, no explicit zeros.
        extra: One more number per row that has to be equal too, float64, or None.

    Returns:
        The first row of each class, ascending, and the class of each row.
    """
    rows = matrix.shape[0]
    key = _row_hashes(matrix)
    if extra is not None:
        key += _mix((extra + 0.0).view(np.uint64))  # + 0.0 turns -0.0 into 0.0
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, inverse = first[order], rank[inverse]
    same = extra is None or np.array_equal(extra, extra[first][inverse])
    if not same or not _identical(matrix, matrix[first][inverse]):
        return np.arange(rows), np.arange(rows)  # two hashes met: nothing is lost but a gain
    return first, inverse


def rows_differ(dense: Array) -> bool:
    """Whether all rows of a float32 array are surely distinct; False also if hashes meet."""
    bits = (dense + np.float32(0)).view(np.uint32).astype(np.uint64)  # without -0.0
    columns = np.arange(dense.shape[1], dtype=np.uint64)
    hashes = _mix((bits << np.uint64(32)) | columns).sum(axis=1, dtype=np.uint64)
    return len(np.unique(hashes)) == len(dense)


def _row_hashes(matrix: scipy.sparse.csr_array) -> Array:
    """A number for each row that does not depend on anything but its non-zeros, uint64."""
    bits = matrix.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    hashes = _mix((bits << np.uint64(32)) | matrix.indices.astype(np.uint64))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
    return np.asarray(running[matrix.indptr[1:]] - running[matrix.indptr[:-1]])


def _identical(one: scipy.sparse.csr_array, other: scipy.sparse.csr_array) -> bool:
    return (
        np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
        and np.array_equal(one.data, other.data)
    )


def _mix(keys: Array) -> Array:
    """Scatters 64-bit keys (the finalizer of splitmix64, Steele, Lea and Flood, 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))
