"""Training learns, and depends on the seed alone."""

import pytest
import torch

from nfcompile.data import load
from nfcompile.errors import InputError
from nfcompile.study.training import one_thread, train, train_topology
from nfcompile.topology import Butterfly, ParallelButterfly

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_a_butterfly_learns_to_read_digits(digits):
    found = train_topology(ParallelButterfly(64, 8, 2), digits, layers=1, epochs=6)
    assert found.accuracy > 0.92
    assert len(found.losses) == 6
    assert found.losses[-1] < 0.3 < found.losses[0]
    assert found.parameters == 2 * 64 * 16 + 64 + 64 * 10 + 10


def test_a_seed_gives_the_same_run_and_another_seed_another(digits):
    one, same, other = (
        train_topology(Butterfly(64, 8), digits, layers=1, epochs=1, seed=s) for s in (1, 1, 2)
    )
    assert one == same
    assert one.losses != other.losses


def test_a_network_that_cannot_learn_is_at_the_share_of_its_guess(digits):
    class Constant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = torch.nn.Parameter(torch.tensor([0.0, 9.0] + [0.0] * 8))

        def forward(self, x):
            return self.scores.expand(len(x), 10)

    ticks = []
    found = train(Constant(), digits, epochs=2, rate=1e-6, progress=ticks.append)
    assert found.accuracy == pytest.approx((digits.test_y == 1).mean())
    assert ticks == [1, 2]
    assert found.parameters == 10


def test_dense_initialization_trains_worse(digits):
    arguments = {"layers": 3, "epochs": 1, "seed": 0}
    topology = Butterfly(64, 2)
    good = train_topology(topology, digits, **arguments)
    bad = train_topology(topology, digits, init="dense", **arguments)
    assert good.losses[0] < bad.losses[0]


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("topology", "arguments", "message"),
    [
        (Butterfly(32, 2), {}, "at most the topology's 32, got 64"),
        (Butterfly(64, 4), {"epochs": 0}, "epochs must be at least 1, got 0"),
        (Butterfly(64, 4), {"layers": 0}, "depth must be at least 1, got 0"),
        (Butterfly(64, 4), {"init": "xavier"}, "init must be one of"),
        (Butterfly(64, 4, out=16), {}, "cannot follow itself"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(digits, topology, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        train_topology(topology, digits, **arguments)
    assert "\n" not in str(caught.value)
