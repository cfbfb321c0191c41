"""Arithmetic modulo the prime agrees with Python's integers."""

import numpy as np
import pytest

from nfcompile.topology.modular import PRIME, modular_product, modular_rank, reduce_


def residues(rng, *shape):
    return rng.integers(0, PRIME, shape)


def test_the_prime_is_the_largest_below_two_to_the_23():
    def is_prime(n):
        return all(n % d for d in range(2, int(n**0.5) + 1))

    assert is_prime(PRIME)
    assert not any(is_prime(n) for n in range(PRIME + 1, 2**23))


def test_reduction_is_exact_for_all_magnitudes_and_signs():
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**52) + 1, 2**52, 10000)
    edges = [k * PRIME + d for k in (-(2**28), -1, 0, 1, 2**29 - 9) for d in (-1, 0, 1)]
    exact = [int(v) for v in values] + edges
    reduced = reduce_(np.array(exact, float))
    assert [int(v) for v in reduced] == [v % PRIME for v in exact]


@pytest.mark.parametrize("inner", [1, 63, 64, 65, 300])
def test_products_are_exact(inner):
    rng = np.random.default_rng(inner)
    left, right = residues(rng, 5, inner), residues(rng, inner, 4)
    left[0], right[:, 0] = PRIME - 1, PRIME - 1
    exact = left.astype(object) @ right.astype(object) % PRIME
    ours = modular_product(left.astype(float), right.astype(float))
    assert (ours.astype(int) == exact).all()


@pytest.mark.parametrize(
    ("rows", "columns", "rank"),
    [
        (1, 1, 1),
        (64, 64, 64),
        (65, 70, 64),
        (130, 90, 40),
        (90, 130, 1),
        (200, 150, 150),
        (70, 9, 9),
    ],
)
def test_the_rank_of_a_product_of_random_factors_is_its_inner_width(rows, columns, rank):
    rng = np.random.default_rng(rows)
    product = residues(rng, rows, rank) @ residues(rng, rank, columns) % PRIME
    assert modular_rank(product.astype(float)) == rank


def test_zeros_repetitions_and_triangles_have_the_rank_that_they_show():
    rng = np.random.default_rng(0)
    assert modular_rank(np.zeros((5, 7))) == 0
    assert modular_rank(np.ones((100, 7))) == 1
    assert modular_rank(np.tril(residues(rng, 80, 80) // 2 + 1).astype(float)) == 80
    sparse = np.zeros((100, 100))
    sparse[rng.permutation(100)[:37], rng.permutation(100)[:37]] = 5
    assert modular_rank(sparse) == 37


def test_the_rank_is_that_over_the_field_and_not_over_the_reals():
    singular = np.array([[2.0, 1.0], [1.0, (PRIME + 1) // 2]])  # its determinant is the prime
    assert np.linalg.matrix_rank(singular) == 2
    assert modular_rank(singular) == 1
