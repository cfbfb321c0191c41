"""The rank of the Jacobian: known numbers, and singular values in floating point."""

import numpy as np
import pytest

from nfcompile.errors import InputError
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
from nfcompile.topology.jacobian import Freedom, freedom, jacobian_rank


def float_rank(topology):
    """Of d(product)/d(weights) in double precision, one weight after the other."""
    rng = np.random.default_rng(0)
    rows = []
    for branch in topology.branches():
        factors = [mask.toarray() * rng.standard_normal(mask.shape) for mask in branch]
        for position, mask in enumerate(branch):
            for row, column in zip(*mask.toarray().nonzero(), strict=True):
                change = np.zeros(mask.shape)
                change[row, column] = 1
                product = np.eye(topology.in_features)
                for index, factor in enumerate(factors):
                    product = (change if index == position else factor) @ product
                rows.append(product.ravel())
    return np.linalg.matrix_rank(np.array(rows))


@pytest.mark.parametrize(
    ("topology", "edges", "rank"),
    [
        (Butterfly(16, 2), 128, 80),
        (Butterfly(16, 4), 128, 112),
        (Monarch(16), 128, 112),
        (ParallelButterfly(16, 2, 2), 256, 160),
        (ParallelButterfly(16, 4, 2), 256, 224),
        (Clos(16, 4, 4), 192, 160),
        (Dense(16), 256, 256),
        *((LowRank(16, r), 32 * r, 32 * r - r * r) for r in (1, 4, 8, 16)),
    ],
    ids=str,
)
def test_the_verified_numbers_at_width_16(topology, edges, rank):
    assert topology.edges == edges
    assert jacobian_rank(topology) == rank


def test_two_butterflies_in_series_reach_less_than_in_parallel(handmade):
    masks = [mask.toarray() for mask in Butterfly(16, 2).factors()]
    series = handmade(*masks, *masks)
    assert (series.edges, jacobian_rank(series)) == (256, 144)
    assert jacobian_rank(handmade(masks, masks)) <= 160 == 256 - 6 * 16


@pytest.mark.parametrize(
    "topology",
    [
        Torus(16, 2),
        Hypercube(16),
        Hypercube(16, 2, out=9),
        RandomRegular(16, 3),
        Expander(16, 3),
        RadixNet((4, 4), (1, 2, 1)),
        RadixNet((2, 2, 2), (1, 2, 1, 2)),
        Pixelfly(16, 2, 2),
        Butterfly(16, 4, out=8),
        ParallelButterfly(16, 4, 2, out=8),
        Clos(16, 2, 4),
    ],
    ids=str,
)
def test_it_is_the_rank_by_singular_values(topology):
    assert jacobian_rank(topology) == float_rank(topology)


def test_neither_the_seed_nor_the_skip_changes_it():
    topology = Butterfly(16, 4, skip=True)
    assert {jacobian_rank(topology, seed) for seed in range(3)} == {112}


@pytest.mark.parametrize("topology", [Butterfly(16, 4), LowRank(32, 4), Dense(16)], ids=str)
def test_freedom_is_the_rank_where_that_takes_seconds(topology):
    assert freedom(topology) == Freedom(jacobian_rank(topology), exact=True)


@pytest.mark.parametrize("topology", [Dense(512), Pixelfly(512, 16)], ids=str)
def test_freedom_of_a_single_factor_is_exact_at_any_width(topology):
    assert freedom(topology) == Freedom(topology.edges, exact=True)


@pytest.mark.parametrize(
    ("topology", "bound"),
    [
        (Butterfly(512, 8), 3 * 512 * 8 - 2 * 512),
        (ParallelButterfly(256, 16, 2), 2 * (256 * 32 - 256)),
        (Pixelfly(256, 8, 4), 256 * 8 * 6 + 2 * 256 * 4 - 4),  # the flat branch hides none
        (Clos(256, 256, 16), 256 * 256),
    ],
    ids=str,
)
def test_freedom_is_the_bound_of_each_branch_beyond(topology, bound):
    assert freedom(topology) == Freedom(bound, exact=False)


def test_freedom_is_exact_up_to_four_million_entries():
    assert freedom(LowRank(128, 1)).exact  # 256 x 16384 = 2^22
    assert not freedom(LowRank(128, 1, out=129)).exact


def test_a_jacobian_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match=r"131072 x 16777216 entries.* take a narrower") as caught:
        jacobian_rank(Butterfly(4096, 8))
    assert "\n" not in str(caught.value)
