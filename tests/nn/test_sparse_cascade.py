"""A cascade is the summed product of its factors, and keeps the scale of the signal."""

import pytest
import torch

from nfcompile.nn import SparseCascade, SparseLinear
from nfcompile.topology import Butterfly, ParallelButterfly


def effective_weight(cascade):
    total = torch.zeros(())
    for branch in cascade.branches:
        product = torch.eye(cascade.topology.n)
        for layer in branch:
            product = layer.to_dense() @ product
        total = total + product
    return total.detach()


TOPOLOGIES = [
    Butterfly(16, 4),
    ParallelButterfly(16, 2, 3, skip=False),
    ParallelButterfly(24, 4, 2, skip=True),
]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@pytest.mark.parametrize("activation", [None, torch.nn.ReLU()])
def test_the_forward_is_the_summed_product_of_the_factors(topology, activation):
    cascade = SparseCascade(topology, activation=activation)
    torch.nn.init.normal_(cascade.bias)
    x = torch.randn(2, 3, topology.n)
    expected = x @ effective_weight(cascade).T + cascade.bias
    expected = expected + x if topology.skip else expected
    expected = expected if activation is None else torch.relu(expected)
    torch.testing.assert_close(cascade(x), expected, rtol=1e-4, atol=1e-5)


def test_the_number_of_weights_is_the_topologys_edges_and_the_bias():
    topology = ParallelButterfly(64, 4, 2)
    cascade = SparseCascade(topology)
    assert sum(p.numel() for p in cascade.parameters()) == topology.edges + 64
    assert len(list(SparseCascade(topology, bias=False).parameters())) == 6


def test_factors_are_kept_apart_so_that_each_is_one_digit():
    cascade = SparseCascade(ParallelButterfly(64, 4, 2))
    layers = [m for m in cascade.modules() if isinstance(m, SparseLinear)]
    assert len(layers) == 6
    assert all(torch.diff(layer.indptr).tolist() == [4] * 64 for layer in layers)
    assert all(layer.bias is None for layer in layers)


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_the_effective_weight_starts_with_variance_one_over_n(parallel):
    torch.manual_seed(0)
    topology = ParallelButterfly(256, 4, parallel, skip=False)
    draws = [effective_weight(SparseCascade(topology)) for _ in range(4)]
    assert torch.stack(draws).var().item() * 256 == pytest.approx(1.0, rel=0.1)


def test_signal_and_gradient_keep_their_scale_through_hundreds_of_factors():
    torch.manual_seed(0)
    topology = ParallelButterfly(1024, 4, 2, skip=False)
    layers = torch.nn.Sequential(*(SparseCascade(topology, bias=False) for _ in range(40)))
    x = torch.randn(64, 1024, requires_grad=True)
    y = layers(x)
    y.backward(torch.randn(64, 1024))
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.3)
    assert x.grad.square().mean().item() == pytest.approx(1.0, rel=0.3)


def relu_stack(depth, skip, gain=None):
    topology = ParallelButterfly(1024, 4, 2, skip=skip)
    relu = torch.nn.ReLU()
    layers = (SparseCascade(topology, activation=relu, gain=gain) for _ in range(depth))
    return torch.nn.Sequential(*layers)


def test_relu_cascades_keep_the_second_moment():
    torch.manual_seed(0)
    x = torch.relu(torch.randn(64, 1024)) * 2**0.5
    y = relu_stack(20, skip=False)(x)
    assert 0.4 < y.square().mean().item() < 2.5


def test_a_gain_of_one_over_sqrt_depth_bounds_a_stack_with_skips():
    torch.manual_seed(0)
    x = torch.relu(torch.randn(64, 1024)) * 2**0.5
    y = relu_stack(20, skip=True, gain=20**-0.5)(x)
    assert 0.5 < y.square().mean().item() < 4.0
