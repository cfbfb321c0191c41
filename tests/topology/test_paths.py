"""Paths are counted exactly, one by one on small graphs."""

import itertools

import numpy as np
import pytest

from nfcompile.topology import Butterfly, Hypercube, ParallelButterfly, RandomRegular, Torus
from nfcompile.topology.paths import path_counts


def walk(masks, source, target):
    """The number of paths, by trying every sequence of neurons."""
    inner = [range(mask.shape[0]) for mask in masks[:-1]]
    routes = itertools.product([source], *inner, [target])
    arrays = [mask.toarray() for mask in masks]
    return sum(
        all(mask[b, a] for mask, (a, b) in zip(arrays, itertools.pairwise(route), strict=True))
        for route in routes
    )


@pytest.mark.parametrize("topology", [RandomRegular(6, 2, 1), Torus(8, 2, 2, out=5)], ids=str)
def test_counts_are_those_of_walking_all_paths(topology):
    (masks,) = topology.branches()
    counts = path_counts(topology)
    for out, source in itertools.product(range(topology.out_features), range(3)):
        assert counts[out, source] == walk(masks, source, out)


def test_branches_add_up_and_the_skip_does_not_count():
    np.testing.assert_array_equal(path_counts(ParallelButterfly(64, 4, 3, skip=True)), 3)
    np.testing.assert_array_equal(path_counts(Butterfly(64, 4, skip=True)), 1)


def test_chosen_inputs_are_columns_of_all():
    topology = Hypercube(32)
    np.testing.assert_array_equal(
        path_counts(topology, np.array([5, 0])), path_counts(topology)[:, [5, 0]]
    )


def test_counts_beyond_integers_stay_right_in_double_precision():
    counts = path_counts(Torus(4, 1, 100))  # 3 of 4 neighbours each time: 3^100 / 4 of each
    np.testing.assert_allclose(counts, 3.0**100 / 4, rtol=1e-12)
