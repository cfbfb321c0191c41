"""The table of topologies: factors, edges and paths per pair of each rule, from its formula."""

import dataclasses

import numpy as np
import pytest

from nfcompile.errors import InputError
from nfcompile.topology import (
    Butterfly,
    Clos,
    Dense,
    Hypercube,
    LowRank,
    Monarch,
    ParallelButterfly,
    Pixelfly,
    RadixNet,
    RandomRegular,
    Torus,
)

N = 64
TABLE = [  # topology, factors, edges, paths per pair (None where they differ)
    (Dense(N), 1, N**2, 1),
    (LowRank(N, 8), 2, 2 * N * 8, 8),
    (Torus(N, 1), 32, 32 * N * 3, None),
    (Torus(N, 2), 2 * 4, 8 * N * 5, None),
    (Torus(N, 3), 3 * 2, 6 * N * 7, None),
    (Hypercube(N), 6, 6 * N * 7, None),
    (Butterfly(N, 2), 6, N * 2 * 6, 1),
    (Butterfly(N, 4), 3, N * 4 * 3, 1),
    (Butterfly(N, (2, 4, 8)), 3, N * (2 + 4 + 8), 1),
    (Clos(N, 5, 16), 3, 2 * N * 5 + 5 * (N // 16) ** 2, 5),
    (RandomRegular(N, 4), 4, 4 * N * 4, None),
    (RadixNet((4, 4, 4)), 3, N * 12, 1),
    (RadixNet((4, 4, 4), (1, 2, 3, 1)), 3, N * 4 * (2 + 6 + 3), 2 * 3),
    (Monarch(N), 2, 2 * N * 8, 1),
    (ParallelButterfly(N, 4, 3), 3, 3 * N * 12, 3),
    (ParallelButterfly(N, 8, 2), 2, 2 * N * 16, 2),
]


def product(masks):
    paths = masks[0].toarray()
    for mask in masks[1:]:
        paths = mask.toarray() @ paths
    return paths


@pytest.mark.parametrize(("topology", "depth", "edges", "paths"), TABLE, ids=str)
def test_factors_edges_and_paths_are_those_of_the_table(topology, depth, edges, paths):
    assert (topology.depth, topology.edges) == (depth, edges)
    counts = product(topology.factors())
    assert counts.shape == (N, N)
    if paths is None:
        assert counts.min() < counts.max()
    else:
        assert (counts == paths).all()


@pytest.mark.parametrize("topology", [Torus(N, 1), Torus(N, 2), Torus(N, 3), Hypercube(N)], ids=str)
def test_the_default_number_of_factors_is_the_fewest_that_join_all_pairs(topology):
    fewer = dataclasses.replace(topology, layers=topology.depth - 1)
    assert (product(topology.factors()) > 0).all()
    assert not (product(fewer.factors()) > 0).all()


def test_a_skip_is_no_factor_and_no_edge():
    plain, skipping = Butterfly(16, 4), Butterfly(16, 4, skip=True)
    assert plain != skipping
    assert plain.edges == skipping.edges
    np.testing.assert_array_equal(product(plain.factors()), product(skipping.factors()))


def test_skip_is_given_by_name_only():
    with pytest.raises(TypeError):
        Dense(16, True)


def test_the_text_shows_what_differs_from_the_default():
    assert str(Dense(16)) == "dense(n=16)"
    assert str(Dense(16, out=8)) == "dense(in=16, out=8)"
    assert str(Dense(16, out=16)) == "dense(n=16)"
    assert str(Butterfly(16, (2, 8), skip=True)) == "butterfly(n=16, radix=[2, 8], skip=true)"
    assert str(RandomRegular(16, 3)) == "random(n=16, degree=3, seed=0)"
    assert str(RadixNet((2, 2), (1, 3, 1))) == "radix-net(radices=[2, 2], widths=[1, 3, 1])"


def test_a_list_makes_the_same_value_as_a_tuple():
    assert Butterfly(16, [2, 8]) == Butterfly(16, (2, 8))
    assert hash(RadixNet([2, 2], [1, 3, 1])) == hash(RadixNet((2, 2), (1, 3, 1)))


def test_a_skip_between_unequal_widths_is_refused():
    with pytest.raises(InputError, match="widths must be equal, got in=16 and out=32"):
        Pixelfly(16, 4, 2, out=32, skip=True)
