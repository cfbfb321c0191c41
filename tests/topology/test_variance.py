"""The variance of the effective weight, from the masks alone."""

import numpy as np
import pytest

from nfcompile.topology import (
    Butterfly,
    Clos,
    Dense,
    Expander,
    Hypercube,
    LowRank,
    Monarch,
    ParallelButterfly,
    Pixelfly,
    RadixNet,
    RandomRegular,
    Torus,
)
from nfcompile.topology.variance import effective_variance

EQUAL_PATHS = [
    Dense(24),
    Dense(24, out=7),
    LowRank(24, 5),
    Butterfly(64, 2),
    Butterfly(30, (2, 3, 5)),
    Butterfly(64, 4, out=16),
    Butterfly(16, 4, out=64),
    Clos(24, 5, 4),
    RadixNet((2, 3, 4)),
    RadixNet((2, 4), (1, 3, 2)),
    Monarch(12),
    Monarch(16, out=36),
    ParallelButterfly(64, 4, 3),
    ParallelButterfly(16, 4, 2, out=64),
]
OTHERS = [Torus(24, 2), Hypercube(16), Pixelfly(16, 2, 3), RandomRegular(24, 3), Expander(24, 3)]


@pytest.mark.parametrize("topology", EQUAL_PATHS, ids=str)
def test_it_is_exactly_one_over_n_where_path_counts_are_equal(topology):
    variance = effective_variance(topology)
    np.testing.assert_allclose(variance, 1 / topology.in_features, rtol=1e-12)


@pytest.mark.parametrize("topology", EQUAL_PATHS + OTHERS, ids=str)
def test_each_row_sums_to_one_so_that_every_output_keeps_the_signal(topology):
    np.testing.assert_allclose(effective_variance(topology).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("topology", OTHERS, ids=str)
def test_it_differs_between_entries_where_path_counts_do(topology):
    variance = effective_variance(topology)
    assert variance.max() > 1.5 * variance.min()


@pytest.mark.parametrize("topology", [Butterfly(64, 2), Monarch(64), Clos(64, 4, 8)], ids=str)
def test_dense_initialization_is_wrong_by_the_product_of_the_densities(topology):
    (masks,) = topology.branches()
    densities = np.prod([mask.nnz / np.prod(mask.shape) for mask in masks])
    variance = effective_variance(topology, dense=True)
    np.testing.assert_allclose(variance, densities / 64, rtol=1e-12)


def test_dense_initialization_of_a_butterfly_of_1024_leaves_nothing():
    column = effective_variance(Butterfly(1024, 2), np.array([3]), dense=True)
    np.testing.assert_allclose(column, (2 / 1024) ** 10 / 1024, rtol=1e-12)


def test_chosen_inputs_are_columns_of_all():
    topology = Hypercube(16)
    np.testing.assert_array_equal(
        effective_variance(topology, np.array([7, 1])), effective_variance(topology)[:, [7, 1]]
    )


@pytest.mark.parametrize("dense", [False, True])
def test_it_is_what_random_weights_show(dense):
    rng = np.random.default_rng(0)
    topology = Pixelfly(8, 1, 2)
    total = np.zeros((20000, 8, 8))
    for branch in topology.branches():
        product = np.eye(8)
        for mask in branch:
            array = mask.toarray()
            fan_in = mask.shape[1] if dense else array.sum(axis=1, keepdims=True)
            drawn = rng.standard_normal((len(total), *mask.shape))
            product = drawn * array / np.sqrt(fan_in) @ product
        total += product / np.sqrt(2)
    expected = effective_variance(topology, dense=dense)
    np.testing.assert_allclose(total.var(axis=0), expected, rtol=0.15)
