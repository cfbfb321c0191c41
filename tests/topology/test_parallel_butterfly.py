"""Parallel butterflies: p paths per pair, and branches that are not copies of each other."""

import numpy as np
import pytest

from nfcompile.errors import InputError
from nfcompile.topology import Butterfly, ParallelButterfly
from nfcompile.topology.jacobian import jacobian_rank

CASES = [
    (16, 2, 2),
    (16, 4, 2),
    (64, 4, 3),
    (48, 4, 2),
    (32, 4, 5),
    (16, 4, 1),
    (64, 4, 7),
    (64, 8, 5),
]


def product(masks):
    paths = masks[0].toarray()
    for mask in masks[1:]:
        paths = mask.toarray() @ paths
    return paths


@pytest.mark.parametrize(("n", "radix", "parallel"), CASES)
def test_the_joined_factors_have_exactly_p_paths_per_pair(n, radix, parallel):
    topology = ParallelButterfly(n, radix, parallel)
    np.testing.assert_array_equal(product(topology.factors()), np.full((n, n), parallel))


@pytest.mark.parametrize(("n", "radix", "parallel"), CASES)
def test_each_branch_is_a_butterfly_with_one_path_per_pair(n, radix, parallel):
    branches = ParallelButterfly(n, radix, parallel).branches()
    assert len(branches) == parallel
    for branch in branches:
        np.testing.assert_array_equal(product(branch), np.ones((n, n)))


@pytest.mark.parametrize(("n", "radix", "parallel"), CASES)
def test_edges_are_p_times_n_times_the_radices(n, radix, parallel):
    topology = ParallelButterfly(n, radix, parallel)
    assert topology.edges == parallel * n * sum(topology.radices)
    assert topology.edges == sum(mask.nnz for mask in topology.factors())
    assert topology.edges == sum(mask.nnz for branch in topology.branches() for mask in branch)


def test_branches_mix_their_digits_in_different_orders():
    branches = ParallelButterfly(64, 4, 6).branches()
    orders = {tuple(mask.indices.tobytes() for mask in branch) for branch in branches}
    assert len(orders) == 6
    assert len({branch[0].indices.tobytes() for branch in branches[:3]}) == 3


@pytest.mark.parametrize(
    "topology",
    [
        ParallelButterfly(64, 8, 5),
        ParallelButterfly(64, 4, 9),
        ParallelButterfly(16, 4, 4),
        ParallelButterfly(16, (2, 8), 5),
        ParallelButterfly(16, 4, 5, out=64),
    ],
    ids=str,
)
def test_branches_are_pairwise_different_where_the_orders_start_over(topology):
    branches = topology.branches()
    assert len({tuple(mask.indices.tobytes() for mask in branch) for branch in branches}) == len(
        branches
    )
    # Hidden neurons have no order: branches of two factors are equal if they group inputs alike.
    if topology.out is None and topology.depth == 2:
        groups = [frozenset(map(tuple, branch[0].toarray())) for branch in branches]
        assert len(set(groups)) == len(groups)


def test_relabeled_branches_are_the_same_each_time_and_leave_those_before_as_they_are():
    for one, other in zip(
        ParallelButterfly(64, 8, 3).branches(), ParallelButterfly(64, 8, 5).branches(), strict=False
    ):
        for mask, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(mask.toarray(), again.toarray())


def test_a_relabeled_branch_adds_all_the_rank_that_its_weights_allow():
    topology = ParallelButterfly(36, 6, 3)
    hidden = 3 * 36
    assert jacobian_rank(topology) == topology.edges - hidden < 36 * 36


def test_what_is_said_of_very_many_branches_needs_none_of_them():
    topology = ParallelButterfly(64, 8, 65536)
    assert topology.edges == 65536 * 1024
    assert topology.layer_widths == [64, 65536 * 64, 64]


@pytest.mark.parametrize(("radix", "rank"), [(2, 160), (4, 224)])
def test_two_branches_reach_the_rank_that_their_weights_allow(radix, rank):
    # The rank of d(product)/d(weights) at a generic point is the number of entries of the
    # product that can be prescribed at once. Its bound is E minus the intermediate widths.
    topology = ParallelButterfly(16, radix, 2)
    widths = 2 * 16 * (len(topology.radices) - 1)
    assert topology.edges - widths == rank
    rng = np.random.default_rng(0)
    factors = [mask.toarray() * rng.standard_normal(mask.shape) for mask in topology.factors()]
    columns = []
    for position, factor in enumerate(factors):
        before = np.eye(16)
        for other in factors[:position]:
            before = other @ before
        after = np.eye(factor.shape[0])
        for other in factors[position + 1 :]:
            after = other @ after
        rows, cols = np.nonzero(factor)
        columns += [
            np.outer(after[:, row], before[col]).ravel()
            for row, col in zip(rows, cols, strict=True)
        ]
    assert np.linalg.matrix_rank(np.array(columns)) == rank


def test_one_branch_is_the_plain_butterfly():
    for ours, plain in zip(
        ParallelButterfly(48, 4, 1).factors(), Butterfly(48, 4).factors(), strict=True
    ):
        np.testing.assert_array_equal(ours.toarray(), plain.toarray())


def test_branches_of_a_single_dense_factor_are_refused():
    with pytest.raises(InputError, match="has one dense factor"):
        ParallelButterfly(16, 16, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parallel": 0}, "parallel must be an integer of at least 1, got 0"),
        ({"parallel": 65537}, "parallel must be at most 65536, got 65537"),
        ({"parallel": 2.0}, "parallel must be an integer of at least 1, got 2.0"),
        ({"skip": 1}, "skip must be true or false, got 1"),
        ({"n": 17}, "n=17 must be a power of radix=4"),
        ({"n": 0}, "n must be an integer of at least 2, got 0"),
        ({"radix": (4, 2)}, r"radices must multiply to n=16, got 4 \* 2 = 8"),
        ({"out": 64, "skip": True}, "widths must be equal, got in=16 and out=64"),
    ],
)
def test_bad_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        ParallelButterfly(**{"n": 16, "radix": 4, "parallel": 2, **arguments})
    assert "\n" not in str(caught.value)


def test_the_skip_is_there_by_default_where_widths_are_equal():
    assert ParallelButterfly(16, 4).skip is True
    assert ParallelButterfly(16, 4, out=16).skip is True
    assert ParallelButterfly(16, 4, out=64).skip is False
    assert ParallelButterfly(16, 4, skip=False) != ParallelButterfly(16, 4)


@pytest.mark.parametrize(("n", "out", "radix"), [(16, 64, 4), (64, 16, 4), (32, 128, 4)])
def test_of_unequal_widths_each_branch_has_one_path_per_pair_through_no_narrower_cut(n, out, radix):
    topology = ParallelButterfly(n, radix, 3, out=out)
    for branch in topology.branches():
        np.testing.assert_array_equal(product(branch), np.ones((out, n)))
        assert min(mask.shape[0] for mask in branch) >= min(n, out)


def test_variants_have_at_least_two_branches_and_as_many_as_fit():
    found = list(ParallelButterfly.variants(64, 64, 2000))
    assert ParallelButterfly(64, 8, 2000 // (64 * 16)) not in found  # that is one
    assert ParallelButterfly(64, 2, 2) in found
    for topology in found:
        assert topology.parallel >= 2
        one = topology.edges // topology.parallel
        assert topology.edges <= 2000 < topology.edges + one


@pytest.mark.timeout(30)
def test_width_65536_is_built_in_seconds():
    topology = ParallelButterfly(65536, 16, 2, skip=True)
    assert sum(mask.nnz for mask in topology.factors()) == topology.edges == 2 * 65536 * 64
