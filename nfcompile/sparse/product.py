"""Sums of products of sparse matrices: how full one would be, and the matrix itself.

    M = sum_t A_{t,k} ... A_{t,1}          A_{t,1} is applied first; no factors: the identity

The fill of M is read off a sample of its rows, multiplied out by pattern alone, so that a product
too large to be worth making is never made.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from nfcompile.sparse.encoding import Array

__all__ = ["Matrix", "Terms", "estimate_nnz", "estimate_segments", "multiply"]

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
    sample = _sample(shape[0], shape[1])
    total = sample @ scipy.sparse.csr_array(shape, dtype=np.float32)
    for factors in terms:
        rows = sample
        for factor in reversed(factors):
            rows = _behind(rows, factor)
        total = scipy.sparse.csr_array(total + rows)
    return _scaled(total, shape[0])


def estimate_segments(
    factors: Sequence[scipy.sparse.csr_array], max_length: int
) -> dict[tuple[int, int], int]:
    """The same for each product of factors i ... j - 1 of a chain, at most so many at once."""
    found: dict[tuple[int, int], int] = {}
    width = max(factor.shape[1] for factor in factors)
    for end in range(1, len(factors) + 1):
        out_features = factors[end - 1].shape[0]
        rows = _sample(out_features, width)
        for start in range(end - 1, max(end - max_length, 0) - 1, -1):
            rows = _behind(rows, factors[start])
            found[start, end] = _scaled(rows, out_features)
    return found


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


def _sample(out_features: int, width: int) -> scipy.sparse.csr_array:
    """Rows of the identity: few enough that their products stay small at this width."""
    count = min(max(_SAMPLED_VALUES // width, _LEAST_ROWS), _MOST_ROWS, out_features)
    chosen = np.arange(out_features)
    if count < out_features:
        chosen = np.random.default_rng(0).choice(out_features, count, replace=False)
    data = (np.ones(count, np.float32), chosen, np.arange(count + 1))
    return scipy.sparse.csr_array(data, shape=(count, out_features))


def _behind(rows: scipy.sparse.csr_array, factor: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """The pattern of sampled rows times a factor, as ones."""
    ones = np.ones(factor.nnz, np.float32)
    pattern = scipy.sparse.csr_array((ones, factor.indices, factor.indptr), shape=factor.shape)
    found = rows @ pattern
    found.data[:] = 1
    return found


def _scaled(rows: scipy.sparse.csr_array, out_features: int) -> int:
    return round(rows.nnz * out_features / rows.shape[0])


def _is_full(matrix: scipy.sparse.csr_array) -> bool:
    return matrix.nnz > _FULL * matrix.shape[0] * matrix.shape[1]
