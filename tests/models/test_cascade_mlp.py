"""Cascades in a row: spread inputs, a ReLU after each, a dense head."""

import pytest
import torch
from torch import nn

import nfcompile
from nfcompile.errors import InputError
from nfcompile.models.cascade_mlp import Spread, butterfly_cascade, cascade_mlp, dense_twin
from nfcompile.nn import SparseCascade
from nfcompile.topology import Butterfly, Clos, ParallelButterfly, RandomRegular


def test_features_are_repeated_evenly_in_one_order_for_all():
    spread = Spread(4, 10)
    y = spread(torch.arange(4.0))
    assert torch.bincount(y.long()).tolist() == [3, 3, 2, 2]
    assert torch.equal(Spread(4, 10)(torch.arange(4.0)), y)
    assert spread.state_dict() == {}


def test_copies_of_a_feature_are_no_neighbours():
    copies = Spread(64, 1024)(torch.arange(64.0))
    together = (copies[1:] == copies[:-1]).float().mean().item()
    assert together < 0.1
    per_window = [len(set(window.tolist())) for window in copies.split(32)]
    assert min(per_window) > 16


def test_the_layers_are_those_that_are_needed():
    names = lambda module: [type(layer).__name__ for layer in module]  # noqa: E731
    topology = Butterfly(64, 4)
    assert names(cascade_mlp(40, 10, 2, topology)) == [
        "Spread", "SparseCascade", "SparseCascade", "Linear"
    ]  # fmt: skip
    assert names(cascade_mlp(64, 64, 1, topology)) == ["SparseCascade"]
    assert names(cascade_mlp(64, 10, 1, "butterfly(in=64, out=16, radix=4)")) == [
        "SparseCascade", "Linear"
    ]  # fmt: skip


def test_a_seed_gives_the_same_network_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (cascade_mlp(16, 4, 1, Butterfly(16, 4), seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.randn(3, 16)
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


@pytest.mark.parametrize("skip", [True, False])
def test_the_signal_survives_twenty_cascades(skip):
    topology = ParallelButterfly(256, 16, 2, skip=skip)
    with torch.no_grad():
        y = cascade_mlp(256, 256, 20, topology, seed=0)(torch.randn(32, 256))
    assert 0.1 < y.square().mean().item() < 10


def test_initialization_is_passed_on():
    dense = cascade_mlp(256, 256, 1, Butterfly(256, 4), init="dense", seed=0)
    assert dense[0].to_dense().square().mean().item() < 1e-6 / 256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((65, 10, 1, Butterfly(64, 4)), "at most the topology's 64, got 65"),
        ((64, 10, 0, Butterfly(64, 4)), "depth must be at least 1, got 0"),
        ((64, 10, -1, ParallelButterfly(64, 4)), "depth must be at least 1, got -1"),
        ((64, 10, 2, Butterfly(64, 4, out=16)), "cannot follow itself: depth must be 1, got 2"),
        ((64, 10, 2, "buterfly(n=64, radix=4)"), "unknown topology"),
    ],
)
def test_impossible_networks_are_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        cascade_mlp(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize(
    "topology",
    [ParallelButterfly(64, 8, 2), Clos(64, 8, 8), RandomRegular(64, 4)],
    ids=str,
)
def test_compiled_it_computes_the_same(topology, target, tmp_path):
    module = cascade_mlp(40, 10, 2, topology, seed=0).eval()
    x = torch.randn(3, 40)
    path = tmp_path / "mlp.onnx"
    nfcompile.compile(module, x, target=target).save(path)
    session = nfcompile.session(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=1e-3, atol=1e-4)


def test_the_named_network_fits_its_example():
    module, x = butterfly_cascade()
    assert [type(layer) for layer in module] == [SparseCascade] * 3
    assert module[0].topology == ParallelButterfly(4096, 16, 2, skip=True)
    assert isinstance(module[0].activation, nn.ReLU)
    with torch.no_grad():
        y = module(x[:2])
    assert y.shape == (2, 4096)
    assert 0.05 < y.square().mean().item() < 20


@pytest.mark.parametrize("skip", [True, False])
def test_the_dense_twin_is_the_same_function(skip):
    topology = ParallelButterfly(64, 4, 2, skip=skip)
    module = cascade_mlp(40, 10, depth=2, topology=topology, seed=0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin = dense_twin(module)
    assert [type(layer).__name__ for layer in twin] == [
        "Spread",
        *("Linear", "ReLU") * 2,
        "Linear",
    ]
    x = torch.randn(5, 40)
    torch.testing.assert_close(twin(x), module(x), rtol=1e-4, atol=1e-4)
