"""Sums of products of sparse matrices: how full one would be, and the matrix itself.

    M = sum_t A_{t,k} ... A_{t,1}          A_{t,1} is applied first; no factors: the identity

The fill of M is read off a sample of its rows, multiplied out by pattern alone, so that a product
too large to be worth making is never made.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from nfcompile.sparse.encoding import Array

__all__ = ["Matrix", "Terms", "estimate_nnz", "multiply"]

Matrix = scipy.sparse.csr_array | Array
Terms = Sequence[Sequence[scipy.sparse.csr_array]]

_SAMPLED_VALUES = 1 << 20
_LEAST_ROWS, _MOST_ROWS = 16, 128
_FULL = 0.25


def estimate_nnz(terms: Terms, shape: tuple[int, int]) -> int:
    """Structural non-zeros of the sum, exact up to 128 rows, else from a sample of them.

    Args:
        terms: Factors of each term.
        shape: (out, in) of the sum.
    """
    out_features, in_features = shape
    count = min(max(_SAMPLED_VALUES // in_features, _LEAST_ROWS), _MOST_ROWS, out_features)
    chosen = np.arange(out_features)
    if count < out_features:
        chosen = np.random.default_rng(0).choice(out_features, count, replace=False)
    unit = scipy.sparse.csr_array(
        (np.ones(count, np.float32), chosen, np.arange(count + 1)), shape=(count, out_features)
    )
    total = scipy.sparse.csr_array((count, in_features), dtype=np.float32)
    for factors in terms:
        rows = unit
        for factor in reversed(factors):
            rows = rows @ _pattern(factor)
            rows.data[:] = 1
        total = total + rows
    return round(total.nnz * out_features / count)


def multiply(terms: Terms, shape: tuple[int, int]) -> Matrix:
    """The sum in float64: sparse, or dense once a product is more than a quarter full.

    Each product starts at its narrow end, so that none on the way is larger than it has to be.

    Args:
        terms: Factors of each term.
        shape: (out, in) of the sum.
    """
    total: Matrix = scipy.sparse.csr_array(shape, dtype=np.float64)
    for factors in terms:
        total = total + _product(factors, shape)
    return total


def _product(factors: Sequence[scipy.sparse.csr_array], shape: tuple[int, int]) -> Matrix:
    if not factors:
        return scipy.sparse.csr_array(scipy.sparse.eye_array(shape[1], format="csr"))
    narrow_end_last = shape[0] <= shape[1]
    ordered = factors[::-1] if narrow_end_last else factors
    product = _wide(ordered[0])
    for factor in ordered[1:]:
        other = _wide(factor)
        product = product @ other if narrow_end_last else other @ product
        if not isinstance(product, np.ndarray) and _is_full(product):
            product = product.toarray()
    return product


def _wide(factor: scipy.sparse.csr_array) -> Matrix:
    wide = factor.astype(np.float64)
    return wide.toarray() if _is_full(wide) else wide


def _pattern(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(
        (np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _is_full(matrix: scipy.sparse.csr_array) -> bool:
    return matrix.nnz > _FULL * matrix.shape[0] * matrix.shape[1]
