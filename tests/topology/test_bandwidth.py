"""Bandwidth is the smallest number of neurons that cut inputs from outputs."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nfcompile.topology import (
    Butterfly,
    Clos,
    Dense,
    Expander,
    Hypercube,
    LowRank,
    ParallelButterfly,
    Pixelfly,
    RandomRegular,
    Torus,
)
from nfcompile.topology.bandwidth import bandwidth


def smallest_cut(masks):
    """By removing every set of neurons, few first, until no path is left."""
    widths = [masks[0].shape[1], *(mask.shape[0] for mask in masks)]
    neurons = [(layer, i) for layer, width in enumerate(widths) for i in range(width)]
    for size in range(len(neurons)):
        for removed in itertools.combinations(neurons, size):
            alive = [np.ones(width, int) for width in widths]
            for layer, i in removed:
                alive[layer][i] = 0
            reached = alive[0]
            for mask, left in zip(masks, alive[1:], strict=True):
                reached = (mask @ reached > 0) * left
            if not reached.any():
                return size
    raise AssertionError


def layer(rows, columns):
    cells = st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)
    return cells.map(lambda bits: np.array(bits, int).reshape(rows, columns))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(widths=st.lists(st.integers(1, 4), min_size=2, max_size=4), data=st.data())
def test_on_tiny_graphs_it_is_the_cut_found_by_trying_all(handmade, widths, data):
    masks = [data.draw(layer(b, a)) for a, b in itertools.pairwise(widths)]
    assert bandwidth(handmade(*masks)) == smallest_cut(masks)


CASES = [
    Dense(12),
    LowRank(16, 5),
    Butterfly(16, 2),
    Butterfly(27, 3),
    Clos(16, 2, 4),
    Clos(16, 4, 4),
    Clos(24, 5, 4),
    Torus(16, 2),
    Hypercube(16, out=9),
    Expander(24, 2),
    Expander(12, 3, out=20),
    RandomRegular(16, 3),
    Pixelfly(16, 2, 1),
    ParallelButterfly(16, 4, 2),
    ParallelButterfly(16, 4, 2, out=64),
]


@pytest.mark.parametrize("topology", CASES, ids=str)
def test_it_is_the_rank_of_the_product_at_random_weights(topology):
    rng = np.random.default_rng(0)
    total = 0
    for branch in topology.branches():
        product = np.eye(topology.in_features)
        for mask in branch:
            product = mask.toarray() * rng.standard_normal(mask.shape) @ product
        total = total + product
    assert bandwidth(topology) == np.linalg.matrix_rank(total)


def test_it_falls_to_the_rank_of_low_rank_and_to_the_switches_of_clos():
    assert bandwidth(LowRank(64, 7)) == 7
    assert bandwidth(Clos(64, 3, 8)) == 3 * 8
    assert bandwidth(Butterfly(64, 4)) == 64


def test_the_skip_adds_none():
    assert bandwidth(LowRank(64, 7, skip=True)) == 7


@pytest.mark.timeout(60)
def test_wide_topologies_take_seconds():
    assert bandwidth(ParallelButterfly(4096, 16, 2)) == 4096
