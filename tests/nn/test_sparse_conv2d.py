"""A sparse convolution is torch's with the dense weight that it stands for."""

import numpy as np
import pytest
import torch
from torch import nn

import nfcompile
from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade, SparseConv2d, SparseLinear
from nfcompile.topology import Butterfly, Dense, ParallelButterfly, Pixelfly, RandomRegular

SETTINGS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
    {"stride": 3, "padding": 2, "dilation": 2},
]
LAYERS = [
    (1, Butterfly(16, 4)),
    (1, ParallelButterfly(16, 4, 2, skip=True)),
    (1, Butterfly(16, 4, out=64)),
    (1, Pixelfly(16, 4)),
    (3, Pixelfly(16, 4)),
    ((3, 2), RandomRegular(16, 3, layers=1, out=8)),
    (3, Butterfly(16, 4)),
    ((2, 3), ParallelButterfly(16, 4, 2, skip=True)),
    (3, Pixelfly(16, 4, 2)),
]


def dense_conv(layer, x):
    """The same by torch, from dense weights that are put together here."""
    rows, columns = layer.topology.out_features, layer.topology.in_features
    where = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    if isinstance(layer.channels, SparseLinear):
        weight = layer.channels.to_dense().reshape(rows, columns, *layer.kernel_size)
        return nn.functional.conv2d(x, weight, layer.channels.bias, **where)
    total = torch.eye(columns) if layer.topology.skip else torch.zeros(rows, columns)
    for branch in layer.channels.branches:
        product = torch.eye(columns)
        for factor in branch:
            product = factor.to_dense() @ product
        total = total + product
    weight = total[:, :, None, None]
    if layer.depthwise is not None:
        weight = weight * layer.depthwise.weight[:, 0]
    return nn.functional.conv2d(x, weight, layer.channels.bias, **where)


def make(kernel, topology, **settings):
    torch.manual_seed(0)
    layer = SparseConv2d(topology.in_features, topology.out_features, kernel, topology, **settings)
    nn.init.normal_(layer.channels.bias)
    return layer


@pytest.mark.parametrize(("kernel", "topology"), LAYERS, ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_torchs_convolution_with_the_dense_weight(kernel, topology, settings):
    layer = make(kernel, topology, **settings)
    x = torch.randn(2, topology.in_features, 9, 8)
    torch.testing.assert_close(layer(x), dense_conv(layer, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "topology"), LAYERS, ids=str)
def test_gradients_are_those_of_the_dense_convolution(kernel, topology):
    layer = make(kernel, topology, stride=2, padding=1)
    x = torch.randn(2, topology.in_features, 6, 7, requires_grad=True)
    wanted = [x, *layer.parameters()]
    ours, theirs = (
        torch.autograd.grad(y.sin().sum(), wanted) for y in (layer(x), dense_conv(layer, x))
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_kernel_mask_joins_whole_windows_of_the_pairs_of_the_topology():
    topology = Pixelfly(8, 2)
    layer = make(3, topology)
    windows = layer.channels.to_dense().reshape(8, 8, 9) != 0
    mask = topology.factors()[0].toarray().astype(bool)
    np.testing.assert_array_equal(windows.all(-1), mask)
    np.testing.assert_array_equal(windows.any(-1), mask)


def test_a_state_dict_restores_the_layer():
    for kernel, topology in LAYERS:
        layer, other = make(kernel, topology), make(kernel, topology)
        for parameter in other.parameters():
            nn.init.zeros_(parameter)
        other.load_state_dict(layer.state_dict())
        x = torch.randn(1, topology.in_features, 4, 4)
        torch.testing.assert_close(other(x), layer(x), rtol=0, atol=0)


def test_the_topology_may_be_text_without_widths():
    layer = SparseConv2d(16, 64, 1, "butterfly(radix=4)")
    assert layer.topology == Butterfly(16, 4, out=64)
    assert isinstance(layer.channels, SparseCascade)


@pytest.mark.parametrize("topology", [Pixelfly(64, 4), Butterfly(64, 4)], ids=str)
@pytest.mark.parametrize("activation", [None, nn.ReLU()])
def test_the_second_moment_is_kept_and_before_a_relu_doubled(topology, activation):
    torch.manual_seed(0)
    moments = []
    for _ in range(20):
        layer = SparseConv2d(64, 64, 3, topology, bias=False, activation=activation)
        moments.append(layer(torch.randn(1, 64, 8, 8)).square().mean().item())
    assert np.mean(moments) == pytest.approx(1, rel=0.2)


def test_gain_scales_the_effective_weight_down_to_nothing():
    for topology in (Pixelfly(16, 4), Butterfly(16, 4)):
        layer = SparseConv2d(16, 16, 3, topology, gain=0.0)
        assert not layer(torch.randn(1, 16, 5, 5)).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 32, 1, Butterfly(16, 4)), "must join 16 to 32 channels, got 16 to 16"),
        ((16, 16, 3, Dense(16, skip=True)), r"cannot skip over a \(3, 3\) window"),
        ((16, 16, 1, "buterfly(radix=4)"), "unknown topology 'buterfly'"),
        ((16, 16, 1, "butterfly(n=32, radix=2)"), "has 32 inputs, where 16 are needed"),
        ((17, 17, 1, "butterfly(radix=4)"), "n=17 must be a power"),
        ((16, 16, 0, "dense"), "kernel_size must be at least 1, got 0"),
        ((16, 16, (3, -1), "dense"), r"kernel_size must be at least 1, got \(3, -1\)"),
        ((16, 16, 3, "dense", 0), "stride must be at least 1, got 0"),
        ((16, 16, 3, "dense", 1, -1), "padding must be at least 0, got -1"),
        ((16, 16, 3, "dense", 1, 1, 0), "dilation must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        SparseConv2d(*arguments)
    assert "\n" not in str(caught.value)


COMPILED = [LAYERS[0], LAYERS[4], LAYERS[6]]


@pytest.mark.parametrize(("kernel", "topology"), COMPILED, ids=str)
def test_it_exports_and_the_export_is_the_same_function(kernel, topology):
    layer = make(kernel, topology, stride=2, padding=1).eval()
    x = torch.randn(2, topology.in_features, 6, 6)
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    more = torch.randn(5, topology.in_features, 6, 6)
    torch.testing.assert_close(exported.module()(more), layer(more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "topology"), COMPILED, ids=str)
def test_height_and_width_stay_dynamic_in_an_export(kernel, topology):
    layer = make(kernel, topology, padding=1).eval()
    x = torch.randn(2, topology.in_features, 9, 8)
    sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(layer, (x,), dynamic_shapes=(sizes,))
    more = torch.randn(3, topology.in_features, 5, 7)
    torch.testing.assert_close(exported.module()(more), layer(more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "topology"), LAYERS, ids=str)
def test_an_input_without_a_batch_is_a_batch_of_one(kernel, topology):
    layer = make(kernel, topology, padding=1)
    x = torch.randn(topology.in_features, 5, 6)
    torch.testing.assert_close(layer(x), layer(x[None])[0], rtol=0, atol=0)


SMALLEST = [  # kernel, settings, the smallest input that has an output
    (1, {}, (1, 1)),
    (3, {}, (3, 3)),
    ((3, 2), {"stride": 2, "padding": (1, 0), "dilation": (2, 3)}, (3, 4)),
]


@pytest.mark.parametrize("topology", [Pixelfly(16, 4), Butterfly(16, 4)], ids=str)
@pytest.mark.parametrize(("kernel", "settings", "least"), SMALLEST)
def test_an_input_smaller_than_the_window_is_refused(topology, kernel, settings, least):
    layer = make(kernel, topology, **settings)
    height, width = least
    assert layer(torch.randn(1, 16, height, width)).shape == (1, 16, 1, 1)
    for shape in ((height - 1, width), (height, width - 1)):
        with pytest.raises(InputError, match=f"at least {height}x{width} pixels") as caught:
            layer(torch.randn(1, 16, *shape))
        assert str(caught.value).endswith("got {}x{}".format(*shape))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("topology", [Pixelfly(16, 4), Butterfly(16, 4)], ids=str)
@pytest.mark.parametrize("shape", [(2, 8, 5, 5), (8, 5, 5), (5, 5), (1, 2, 16, 5, 5)])
def test_another_number_of_channels_or_rank_is_refused(kernel, topology, shape):
    with pytest.raises(InputError, match=r"must be \[N, 16, H, W\] or \[16, H, W\], got shape"):
        make(kernel, topology)(torch.randn(shape))


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_state_of_another_topology_is_refused(kernel):
    layer, other = (
        SparseConv2d(16, 16, kernel, RandomRegular(16, 4, layers=1, seed=seed)) for seed in (0, 1)
    )
    before = layer.channels.to_dense().clone()
    with pytest.raises(RuntimeError, match=r"must be those of random\(.*seed=0.*got others"):
        layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer.channels.to_dense(), before, rtol=0, atol=0)


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize(("kernel", "topology"), COMPILED, ids=str)
def test_compiled_it_computes_the_same(kernel, topology, target, tmp_path):
    layer = make(kernel, topology, padding=1).eval()
    x = torch.randn(2, topology.in_features, 6, 6)
    path = tmp_path / "conv.onnx"
    nfcompile.compile(layer, x, target=target).save(path)
    session = nfcompile.session(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-3, atol=1e-4)
