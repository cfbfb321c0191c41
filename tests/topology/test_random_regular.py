"""Random regular factors have exact degrees; in an expander the smaller side picks."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nfcompile.topology import Expander, RandomRegular


@pytest.mark.parametrize(("n", "degree"), [(16, 2), (17, 5), (64, 8), (16, 12), (16, 16), (9, 5)])
def test_every_row_and_every_column_has_exactly_the_degree(n, degree):
    for mask in RandomRegular(n, degree, seed=3).factors():
        np.testing.assert_array_equal(mask.sum(axis=0), degree)
        np.testing.assert_array_equal(mask.sum(axis=1), degree)


@pytest.mark.parametrize(("n", "degree"), [(16, 3), (24, 5), (12, 9)])
def test_a_factor_is_a_union_of_permutations_without_a_common_entry(n, degree):
    left = RandomRegular(n, degree).factors()[0].toarray()
    for _ in range(degree):
        match = maximum_bipartite_matching(csr_array(left), perm_type="column")
        assert sorted(match) == list(range(n))
        left[np.arange(n), match] -= 1
    assert not left.any()


@pytest.mark.parametrize(("n", "out", "degree"), [(24, 8, 3), (8, 24, 3), (25, 8, 3), (8, 25, 7)])
def test_of_unequal_sides_the_wider_has_the_degree_and_the_other_is_spread_evenly(n, out, degree):
    (mask,) = RandomRegular(n, degree, layers=1, out=out).factors()
    wide, narrow = mask.sum(axis=0), mask.sum(axis=1)
    if out > n:
        wide, narrow = narrow, wide
    np.testing.assert_array_equal(wide, degree)
    share = max(n, out) / min(n, out)
    assert degree * np.floor(share) <= narrow.min() <= narrow.max() <= degree * np.ceil(share)


@pytest.mark.parametrize("kind", [RandomRegular, Expander])
def test_a_seed_gives_the_same_masks_and_factors_differ_from_each_other(kind):
    first, again, other = (kind(32, 3, seed).factors() for seed in (1, 1, 2))
    bytes_of = [[mask.indices.tobytes() for mask in masks] for masks in (first, again, other)]
    assert bytes_of[0] == bytes_of[1]
    assert not set(bytes_of[0]) & set(bytes_of[2])
    assert len(set(bytes_of[0])) == len(first)


@pytest.mark.parametrize(
    ("n", "degree", "layers"), [(16, 4, 3), (17, 4, 4), (64, 2, 7), (64, 64, 1), (64, 63, 3)]
)
def test_by_default_there_is_one_factor_more_than_a_tree_needs(n, degree, layers):
    assert RandomRegular(n, degree).depth == layers


@pytest.mark.parametrize(
    ("topology", "layers"),
    [
        (Expander(1000, 2, out=10), 5),  # 2^4 is the first power of 2 to reach 10
        (RandomRegular(10, 2, out=1000), 5),
        (RandomRegular(1000, 10, out=10), 1),  # dense: each of the 1000 has all 10 as partners
        (Expander(1000, 10, out=10), 2),  # each of the 10 picks 10 of 1000: not dense
        (Expander(10, 10), 1),
        (RandomRegular(4096, 8), 5),
        (RandomRegular(4097, 8), 6),
    ],
    ids=str,
)
def test_the_default_depth_follows_from_the_width_that_inner_layers_have(topology, layers):
    assert topology.depth == layers
    assert topology.layer_widths[1:-1] == [min(topology.n, topology.out_features)] * (layers - 1)


def test_inner_widths_are_the_smaller_end():
    assert RandomRegular(24, 3, layers=3, out=10).layer_widths == [24, 10, 10, 10]
    assert Expander(10, 3, layers=3, out=24).layer_widths == [10, 10, 10, 24]


@pytest.mark.parametrize(("n", "out"), [(24, 24), (24, 10), (10, 24)])
def test_in_an_expander_every_neuron_of_the_smaller_side_picks_different_partners(n, out):
    (mask,) = Expander(n, 5, layers=1, out=out).factors()
    assert mask.shape == (out, n)
    picked = mask.sum(axis=1) if out <= n else mask.sum(axis=0)
    np.testing.assert_array_equal(picked, 5)


def test_variants_try_all_degrees_of_the_budget():
    found = list(RandomRegular.variants(64, 64, 2000))
    every = [RandomRegular(64, degree) for degree in range(2, 64)]
    assert found == [topology for topology in every if topology.edges <= 2000]
    assert len(found) > 3
