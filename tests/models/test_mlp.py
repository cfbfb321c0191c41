"""The measured networks have the zeros that they are said to have."""

import pytest
import torch

from nfcompile.errors import InputError
from nfcompile.models import mlp as models


def linears(module):
    return [m for m in module.modules() if isinstance(m, torch.nn.Linear)]


def test_the_density_of_each_layer_is_the_one_asked_for():
    for linear in linears(models.mlp([64, 96, 32], density=0.25)):
        assert (linear.weight != 0).float().mean().item() == pytest.approx(0.25, abs=1e-3)


def test_blocks_are_kept_or_dropped_whole():
    module = models.mlp([64, 96, 32], density=0.25, block=16)
    for linear in linears(module):
        rows, columns = linear.weight.shape
        tiles = (linear.weight != 0).view(rows // 16, 16, columns // 16, 16).float().mean((1, 3))
        assert set(tiles.unique().tolist()) == {0.0, 1.0}
        assert tiles.mean().item() == pytest.approx(0.25, abs=0.05)


def test_the_kept_weights_are_the_largest():
    linear = linears(models.mlp([32, 32], density=0.3, seed=4))[0]
    drawn = torch.randn((32, 32), generator=torch.Generator().manual_seed(4)).abs()
    kept = linear.weight != 0
    assert drawn[kept].min() > drawn[~kept].max()


def test_a_seed_gives_the_same_network_and_another_one_another():
    first, again, other = (models.mlp([32, 32], 0.3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([32, 32], 0.0), "density must be above 0 and at most 1, got 0.0"),
        (([32, 32], 1.5), "got 1.5"),
        (([32, 40], 0.5, 16), r"block 16 must divide every width, got \[32, 40\]"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        models.mlp(*arguments)


@pytest.mark.parametrize("factory", [models.block_mlp, models.unstructured_mlp])
def test_named_networks_come_with_inputs_that_fit_and_a_signal_that_survives(factory):
    module, x = factory()
    with torch.no_grad():
        y = module(x)
    assert y.shape == x.shape
    assert 0.05 < y.square().mean().item() < 20
