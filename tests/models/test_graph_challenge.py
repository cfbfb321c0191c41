"""The generated networks have the benchmark's structure and compute what it defines."""

import numpy as np
import onnx
import pytest
import torch

import nfcompile
from nfcompile.errors import InputError
from nfcompile.models.graph_challenge import (
    graph_challenge,
    graph_challenge_1024,
    radix_net_weight,
)
from nfcompile.nn import SparseLinear


def kronecker_rule(neurons, layer):
    """The weight by its definition, dense and without the permutation of its rows."""
    cycle = neurons // 16
    digits = {32: 1, 64: 2, 128: 3, 1024: 6}[neurons]
    eye = np.eye(cycle)
    shifted = np.roll(eye, -(2 ** (layer % digits)), axis=1)
    return np.kron(np.ones((16, 16)), eye + shifted) / 16


def sorted_rows(matrix):
    return matrix[np.lexsort(matrix.T)]


def benchmark(y, weights, bias):
    """The benchmark's own definition, in float64: b where Z is not zero, then the clipping."""
    for weight in weights:
        z = y.astype(np.float64) @ weight.toarray().astype(np.float64)
        y = np.minimum(np.maximum(z + bias * (z != 0), 0), 32)
    return y


def binary_rows(neurons, rows=24):
    rng = np.random.default_rng(0)
    return (rng.random((rows, neurons)) < np.linspace(0, 0.6, rows)[:, None]).astype(np.float32)


@pytest.mark.parametrize("neurons", [32, 64, 128, 1024])
@pytest.mark.parametrize("layer", [0, 1, 5, 7, 119])
def test_every_neuron_has_32_edges_of_a_sixteenth_in_and_out(neurons, layer):
    weight = radix_net_weight(neurons, layer, seed=3)
    assert weight.shape == (neurons, neurons)
    assert weight.dtype == np.float32
    assert weight.has_canonical_format
    assert set(weight.data) == {np.float32(1 / 16)}
    assert set(np.diff(weight.indptr)) == {32}
    assert set(np.bincount(weight.indices, minlength=neurons)) == {32}


@pytest.mark.parametrize("neurons", [32, 64, 128, 1024])
def test_the_first_group_is_the_kronecker_rule_itself(neurons):
    for layer in range({32: 1, 64: 2, 128: 3, 1024: 6}[neurons]):
        expected = kronecker_rule(neurons, layer)
        np.testing.assert_array_equal(radix_net_weight(neurons, layer, 0).toarray(), expected)


@pytest.mark.parametrize("neurons", [64, 128])
def test_later_groups_are_the_rule_with_other_rows_in_another_order(neurons):
    digits = {64: 2, 128: 3}[neurons]
    for layer in range(digits, 4 * digits):
        weight, expected = (
            radix_net_weight(neurons, layer, 0).toarray(),
            kronecker_rule(neurons, layer),
        )
        assert not np.array_equal(weight, expected)
        np.testing.assert_array_equal(sorted_rows(weight), sorted_rows(expected))


def test_the_layers_of_a_group_share_one_permutation_and_groups_do_not():
    def order(group):
        rng = np.random.default_rng((5, group))
        return rng.permutation(64)

    for group in (1, 2, 3):
        for layer in (2 * group, 2 * group + 1):
            expected = kronecker_rule(64, layer)[order(group)]
            np.testing.assert_array_equal(radix_net_weight(64, layer, 5).toarray(), expected)
    assert not np.array_equal(order(1), order(2))


@pytest.mark.parametrize("layer", [0, 5, 6, 17, 119])
def test_at_most_a_sixteenth_of_the_columns_are_distinct(layer):
    weight = radix_net_weight(1024, layer, 0).toarray()
    assert len(np.unique(weight, axis=1).T) <= 1024 // 16


def test_a_seed_gives_the_same_weights_and_another_one_others():
    first, again, other = (radix_net_weight(64, 2, seed).toarray() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("neurons", "bias"),
    [(1024, -0.3), (4096, -0.35), (16384, -0.4), (65536, -0.45), (64, -0.2)],
)
def test_the_bias_is_the_benchmarks_and_goes_on_in_line(neurons, bias):
    linear = graph_challenge(neurons, 1)[0]
    assert set(linear.bias.tolist()) == {float(np.float32(bias))}


@pytest.mark.parametrize(
    ("neurons", "layers", "bias"), [(64, 5, -0.2), (128, 7, -0.225), (1024, 8, -0.3)]
)
def test_it_computes_what_the_benchmark_defines(neurons, layers, bias):
    module, x = graph_challenge(neurons, layers, seed=2), binary_rows(neurons)
    y, expected = torch.from_numpy(x), x
    for layer in range(layers):
        with torch.no_grad():
            y = module[2 * layer : 2 * layer + 2](y)
        expected = benchmark(expected, [radix_net_weight(neurons, layer, 2)], bias)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert (expected == 0).any()
    assert (expected > 1).any()


def test_rows_without_ones_stay_dead_though_each_layer_has_a_bias():
    with torch.no_grad():
        assert not graph_challenge(64, 3)(torch.zeros(2, 64)).any()


def test_it_has_only_sparse_layers_and_leaves_the_generator_alone():
    state = torch.get_rng_state()
    module = graph_challenge(64, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert [type(part) for part in module] == [SparseLinear, torch.nn.Hardtanh] * 3
    assert sum(p.numel() for p in module.parameters()) == 3 * (64 * 32 + 64)


def test_the_named_network_comes_with_binary_rows_of_which_some_die_and_some_do_not():
    module, x = graph_challenge_1024()
    assert len(module) == 2 * 120
    assert x.shape == (64, 1024)
    assert x.dtype == torch.float32
    assert set(x.unique().tolist()) == {0.0, 1.0}
    with torch.no_grad():
        alive = module[:40](x).bool().any(1)
    assert 0.25 < alive.float().mean() < 0.75


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
def test_it_compiles_to_what_the_benchmark_defines(target, tmp_path):
    module, x = graph_challenge(64, 4, seed=2), binary_rows(64)
    compiled = nfcompile.compile(module, torch.from_numpy(x), target)
    assert compiled.report.passed
    compiled.save(tmp_path / "small.onnx")
    session = nfcompile.session(tmp_path / "small.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = benchmark(x, [radix_net_weight(64, layer, 2) for layer in range(4)], -0.2)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_wide_layers_run_sparse_with_the_clipping_fused(tmp_path):
    module, x = graph_challenge(1024, 2), binary_rows(1024)
    path = tmp_path / "wide.onnx"
    nfcompile.compile(module, torch.from_numpy(x)).save(path)
    nodes = onnx.load(path).graph.node
    assert [node.op_type for node in nodes] == ["SparseChain"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
    assert attributes["activations"] == b"clip,clip"
    assert attributes["activation_alphas"] == [0, 0]
    assert attributes["activation_betas"] == [32, 32]


@pytest.mark.parametrize("neurons", [0, 16, 48, 1000, 1025, -64, 64.0, True])
def test_widths_that_the_rule_does_not_have_are_refused(neurons):
    with pytest.raises(InputError, match="neurons must be 16 times a power of two"):
        radix_net_weight(neurons, 0)
    with pytest.raises(InputError, match="neurons must be 16 times a power of two"):
        graph_challenge(neurons, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((64, 0), "layers must be an integer of at least 1, got 0"),
        ((64, 2.0), "layers must be an integer of at least 1, got 2.0"),
        ((64, 1, -1), "seed must be an integer of at least 0, got -1"),
    ],
)
def test_other_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        graph_challenge(*arguments)


def test_a_layer_before_the_first_is_refused():
    with pytest.raises(InputError, match="layer must be an integer of at least 0, got -1"):
        radix_net_weight(64, -1)
