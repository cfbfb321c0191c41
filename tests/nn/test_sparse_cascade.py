"""A cascade is the summed product of its factors, and keeps the scale of the signal."""

import pytest
import torch

from nfcompile.nn import SparseCascade, SparseLinear
from nfcompile.topology import (
    Butterfly,
    Clos,
    Expander,
    Hypercube,
    LowRank,
    ParallelButterfly,
    Pixelfly,
    RadixNet,
    RandomRegular,
)


def effective_weight(cascade):
    total = torch.zeros(())
    for branch in cascade.branches:
        product = torch.eye(cascade.topology.in_features)
        for layer in branch:
            product = layer.to_dense() @ product
        total = total + product
    return total.detach()


TOPOLOGIES = [
    Butterfly(16, 4),
    ParallelButterfly(16, 2, 3, skip=False),
    ParallelButterfly(24, 4, 2, skip=True),
    Butterfly(16, 4, out=64),
    Clos(16, 3, 4, out=8),
    LowRank(12, 3, out=20),
    Hypercube(16, 3, skip=True),
    Pixelfly(16, 2, 3, skip=True),
    RadixNet((2, 4), (1, 3, 2)),
    Expander(10, 3, out=24),
]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@pytest.mark.parametrize("activation", [None, torch.nn.ReLU()])
def test_the_forward_is_the_summed_product_of_the_factors(topology, activation):
    cascade = SparseCascade(topology, activation=activation)
    torch.nn.init.normal_(cascade.bias)
    x = torch.randn(2, 3, topology.in_features)
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


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_dense_is_the_effective_weight_with_the_skip(topology, dtype):
    cascade = SparseCascade(topology).to(dtype)
    dense = cascade.to_dense()
    assert dense.dtype == dtype
    expected = sum(
        torch.linalg.multi_dot(
            [
                *(f.to_dense() for f in reversed(branch)),
                torch.eye(topology.in_features, dtype=dtype),
            ]
        )
        for branch in cascade.branches
    )
    if topology.skip:
        expected = expected + torch.eye(topology.in_features, dtype=dtype)
    torch.testing.assert_close(dense, expected, rtol=1e-4, atol=1e-5)
    x = torch.randn(5, topology.in_features, dtype=dtype)
    torch.testing.assert_close(cascade(x), x @ dense.T, rtol=1e-4, atol=1e-5)


def test_to_dense_passes_gradients():
    cascade = SparseCascade(Butterfly(16, 4))
    cascade.to_dense().square().sum().backward()
    assert all(layer.values.grad.any() for branch in cascade.branches for layer in branch)


@pytest.mark.parametrize(
    ("activation", "skip", "gain"),
    [
        (None, False, 1.0),
        (torch.relu, False, 2.0),
        (torch.relu, True, 1.0),
        (torch.tanh, False, 1.0),
    ],
)
def test_the_default_gain_doubles_the_variance_before_a_relu_without_a_skip(activation, skip, gain):
    torch.manual_seed(0)
    topology = Butterfly(256, 4, skip=skip)
    draws = [effective_weight(SparseCascade(topology, activation=activation)) for _ in range(4)]
    assert torch.stack(draws).var().item() * 256 == pytest.approx(gain, rel=0.1)


@pytest.mark.parametrize(("n", "out"), [(64, 256), (256, 64)])
def test_between_unequal_widths_every_output_keeps_the_variance_of_the_inputs(n, out):
    torch.manual_seed(0)
    topology = Butterfly(n, 4, out=out)
    with torch.no_grad():
        ys = [SparseCascade(topology, bias=False)(torch.randn(64, n)) for _ in range(30)]
    assert ys[0].shape == (64, out)
    assert torch.stack(ys).square().mean().item() == pytest.approx(1.0, rel=0.15)


def copy(state):
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.mark.parametrize("topology", [*TOPOLOGIES, RandomRegular(16, 4)], ids=str)
@pytest.mark.parametrize("assign", [False, True])
def test_the_state_of_the_same_topology_is_loaded(topology, assign):
    saved, cascade = SparseCascade(topology), SparseCascade(topology)
    torch.nn.init.normal_(saved.bias)
    cascade.load_state_dict(copy(saved.state_dict()), assign=assign)
    x = torch.randn(3, topology.in_features)
    torch.testing.assert_close(cascade(x), saved(x), rtol=0, atol=0)


def test_a_state_whose_indices_are_wider_integers_is_loaded():
    cascade = SparseCascade(Butterfly(16, 4))
    state = copy(cascade.state_dict())
    wide = {name: t if t.is_floating_point() else t.long() for name, t in state.items()}
    assert str(SparseCascade(Butterfly(16, 4)).load_state_dict(wide)).startswith("<All keys")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("wrap", [torch.nn.Sequential, lambda x: x], ids=["inside", "itself"])
def test_the_state_of_another_topology_is_refused_and_changes_no_factor(strict, assign, wrap):
    topology = RandomRegular(16, 4, layers=2)
    module = wrap(SparseCascade(topology))
    before = copy(module.state_dict())
    other = wrap(SparseCascade(Butterfly(16, 4))).state_dict()
    assert [t.shape for t in before.values()] == [t.shape for t in other.values()]
    with pytest.raises(RuntimeError, match=r"factor .*branches\.0\.1 must be") as caught:
        module.load_state_dict(copy(other), strict=strict, assign=assign)
    assert f"must be those of {topology}, got others" in str(caught.value)
    after = module.state_dict()
    assert all(torch.equal(after[name], t) for name, t in before.items() if "branches" in name)


def test_another_number_of_weights_is_refused_with_the_topology_and_the_factor_alone():
    cascade = SparseCascade(Butterfly(16, 4))
    with pytest.raises(RuntimeError, match=r"factor branches\.0\.1 must be those of butterf") as e:
        cascade.load_state_dict(SparseCascade(RandomRegular(16, 8, layers=2)).state_dict())
    assert "size mismatch" not in str(e.value)


def test_missing_tensors_are_told_as_torch_does_and_allowed_when_not_strict():
    cascade = SparseCascade(Butterfly(16, 4))
    state = {n: t for n, t in cascade.state_dict().items() if "indices" not in n}
    with pytest.raises(RuntimeError, match=r"Missing key.*branches\.0\.0\.indices"):
        cascade.load_state_dict(state)
    cascade.load_state_dict(state, strict=False)
