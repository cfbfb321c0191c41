"""Sums of products of sparse matrices, against numpy."""

import numpy as np
import pytest
import scipy.sparse

from nfcompile.sparse import product as product_module
from nfcompile.sparse.product import estimate_nnz, multiply

RNG = np.random.default_rng(0)


def random(rows: int, columns: int, density: float) -> scipy.sparse.csr_array:
    matrix = scipy.sparse.random_array((rows, columns), density=density, rng=RNG, dtype=np.float32)
    return matrix.tocsr()


CASES = {
    "one": [[random(20, 30, 0.1)]],
    "chain": [[random(40, 30, 0.05), random(50, 40, 0.05), random(20, 50, 0.05)]],
    "widening": [[random(40, 10, 0.1), random(50, 40, 0.9)]],
    "sum": [[random(30, 30, 0.1)], [random(20, 30, 0.1), random(30, 20, 0.1)]],
    "identity": [[random(30, 30, 0.1)], []],
    "full": [[random(30, 30, 0.9), random(30, 30, 0.9)], []],
    "zeros": [[random(30, 30, 0.0), random(30, 30, 0.5)]],
}


def dense(terms, shape):
    total = np.zeros(shape)
    for factors in terms:
        made = np.eye(shape[1])
        for factor in factors:
            made = factor.toarray().astype(np.float64) @ made
        total += made
    return total


def shape_of(terms):
    return terms[0][-1].shape[0], terms[0][0].shape[1]


@pytest.mark.parametrize("name", CASES)
def test_the_sum_is_numpys(name):
    terms = CASES[name]
    expected = dense(terms, shape_of(terms))
    found = multiply(terms, shape_of(terms))
    found = found if isinstance(found, np.ndarray) else found.toarray()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_non_zeros_is_exact_for_few_rows(name):
    terms = CASES[name]
    assert estimate_nnz(terms, shape_of(terms)) == np.count_nonzero(dense(terms, shape_of(terms)))


def test_the_number_of_non_zeros_is_close_for_many_rows():
    terms = [[random(3000, 3000, 0.002), random(3000, 3000, 0.002)]]
    exact = (terms[0][1] @ terms[0][0]).nnz
    assert estimate_nnz(terms, (3000, 3000)) == pytest.approx(exact, rel=0.1)


def test_a_narrow_end_keeps_what_is_on_the_way_narrow(monkeypatch):
    made = []
    is_full = product_module._is_full
    monkeypatch.setattr(product_module, "_is_full", lambda m: made.append(m.shape) or is_full(m))
    wide = [random(400, 400, 0.05), random(400, 400, 0.05), random(3, 400, 0.5)]
    multiply([wide], (3, 400))
    assert made.count((400, 400)) == 2  # the factors themselves
