"""The heuristic fits random matrices as well as they can be fitted."""

import numpy as np
import pytest
import torch

from nfcompile.errors import InputError
from nfcompile.study.reconstruction import reconstruct
from nfcompile.topology import Butterfly, Dense, LowRank, ParallelButterfly


def targets(draws, n, seed):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn((draws, n, n), generator=generator) * n**-0.5).numpy()


def test_a_dense_topology_copies_the_target():
    found = reconstruct(Dense(12), draws=2, restarts=1, steps=400)
    assert max(found.l2) < 1e-4
    assert max(found.l1) < 1e-3
    assert min(found.l0) > 0.98


@pytest.mark.parametrize("rank", [2, 6])
def test_low_rank_comes_to_the_optimum_of_eckart_and_young(rank):
    found = reconstruct(LowRank(16, rank), draws=2, restarts=2, steps=300, seed=4)
    singular = np.linalg.svd(targets(2, 16, 4), compute_uv=False) ** 2
    optimum = singular[:, rank:].sum(axis=1) / singular.sum(axis=1)
    assert (np.array(found.l2) >= optimum * (1 - 1e-4)).all()
    np.testing.assert_allclose(found.l2, optimum, rtol=0.03)


def test_numbers_are_one_per_draw_within_their_ranges_and_the_same_for_a_seed():
    arguments = {"draws": 3, "restarts": 2, "steps": 60}
    one, same, other = (reconstruct(Butterfly(16, 4), seed=s, **arguments) for s in (1, 1, 2))
    assert one == same
    assert one.l2 != other.l2
    assert len(one.l2) == len(one.l1) == len(one.l0) == 3
    assert all(0 < value < 1 for value in one.l2)
    assert all(0 <= value <= 1 for value in one.l0)


def test_more_weights_reconstruct_more_and_the_skip_changes_nothing():
    arguments = {"draws": 2, "restarts": 1, "steps": 120}
    one = reconstruct(Butterfly(16, 4), **arguments)
    two = reconstruct(ParallelButterfly(16, 4, 2), **arguments)
    assert max(two.l2) < min(one.l2)
    assert reconstruct(Butterfly(16, 4, skip=True), **arguments) == one


def test_more_restarts_are_never_worse_on_average():
    one, four = (reconstruct(LowRank(8, 2), draws=4, restarts=r, steps=80).l2 for r in (1, 4))
    assert np.mean(four) <= np.mean(one) * 1.001


@pytest.mark.parametrize(
    ("topology", "arguments", "message"),
    [
        (Butterfly(1024, 4), {}, "widths up to 512, got butterfly"),
        (Dense(4), {"draws": 0}, "must be positive, got .0, 2, 800"),
        (Dense(4), {"steps": -1}, "must be positive"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(topology, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        reconstruct(topology, **arguments)
    assert "\n" not in str(caught.value)
