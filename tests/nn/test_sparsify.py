"""Dense layers become cascades of their widths; the rest of the network stays as it is."""

import warnings

import pytest
import torch
from torch import nn

from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade, SparseConv2d, sparsify
from nfcompile.topology import Butterfly, Dense

TEXT = "butterfly(radix=4)"


def network():
    return nn.Sequential(
        nn.Conv2d(4, 16, 3, stride=2, padding=1, dilation=1, bias=False),
        nn.BatchNorm2d(16),
        nn.Flatten(),
        nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16, bias=False)),
    )


def test_every_linear_and_convolution_is_replaced_wherever_it_is():
    module = network()
    shape = module(torch.randn(3, 4, 4, 4)).shape
    assert sparsify(module, TEXT) is module
    assert [type(m) for m in module] == [SparseConv2d, nn.BatchNorm2d, nn.Flatten, nn.Sequential]
    assert [type(m) for m in module[3]] == [SparseCascade, nn.ReLU, SparseCascade]
    assert module(torch.randn(3, 4, 4, 4)).shape == shape
    assert module[3][0].topology == Butterfly(64, 4, out=16)


def test_bias_stride_padding_dilation_mode_and_dtype_stay():
    module = nn.Sequential(nn.Conv2d(16, 16, (3, 5), (2, 1), (1, 2), (2, 3), bias=False))
    module = sparsify(module.double().eval(), TEXT)
    layer = module[0]
    assert (layer.kernel_size, layer.stride) == ((3, 5), (2, 1))
    assert (layer.padding, layer.dilation) == ((1, 2), (2, 3))
    assert layer.channels.bias is None
    assert not layer.training
    assert not layer.channels.training
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    linear = sparsify(nn.Linear(16, 16, bias=False), TEXT)
    assert linear.bias is None


def test_the_shape_of_the_output_is_that_of_the_dense_convolution():
    dense = nn.Conv2d(16, 64, (3, 5), (2, 1), (1, 2), (2, 1))
    x = torch.randn(2, 16, 11, 12)
    shape = dense(x).shape
    assert sparsify(dense, TEXT)(x).shape == shape


def test_the_topology_replaces_the_weights_number_by_its_edges():
    module = sparsify(nn.Sequential(nn.Linear(64, 64)), TEXT)
    assert sum(p.numel() for p in module.parameters()) == Butterfly(64, 4).edges + 64


def test_a_network_that_is_one_layer_is_returned_anew():
    layer = nn.Linear(16, 16)
    sparse = sparsify(layer, TEXT)
    assert isinstance(sparse, SparseCascade)
    assert isinstance(layer, nn.Linear)


def test_a_layer_that_is_used_twice_stays_one_layer():
    shared = nn.Linear(16, 16)
    module = sparsify(nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)}), TEXT)
    assert module["a"] is module["b"][0]
    assert isinstance(module["a"], SparseCascade)


def test_a_block_that_is_used_twice_stays_one_block():
    block = nn.Sequential(nn.Linear(16, 16))
    module = sparsify(nn.Sequential(block, block), TEXT)
    assert module[0] is module[1]
    assert isinstance(module[0][0], SparseCascade)


def test_layers_that_do_not_fit_stay_with_a_warning_that_says_why():
    module = nn.Sequential(nn.Linear(16, 17), nn.Linear(17, 16), nn.Linear(16, 16))
    with pytest.warns(UserWarning, match=r"0 stays dense: .*n=17") as caught:
        sparsify(module, TEXT)
    assert len(caught) == 2
    assert [type(m) for m in module] == [nn.Linear, nn.Linear, SparseCascade]


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 16, 3, groups=2),
        nn.Conv2d(16, 16, 3, padding="same"),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular"),
    ],
    ids=["groups", "same", "circular"],
)
def test_convolutions_of_other_sorts_stay(conv):
    module = nn.Sequential(conv, nn.Linear(16, 16))
    with pytest.warns(UserWarning, match="one group and explicit zero padding"):
        sparsify(module, TEXT)
    assert module[0] is conv


def test_projections_whose_owner_reads_their_weight_stay_and_the_network_still_runs():
    encoder = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
    module = nn.Sequential(encoder, nn.Linear(16, 16))
    with pytest.warns(UserWarning, match="reads the weight of this layer"):
        sparsify(module, TEXT)
    assert isinstance(module[1], SparseCascade)
    for mode in (True, False):
        assert module.train(mode)(torch.randn(2, 5, 16)).shape == (2, 5, 16)


def test_nothing_to_replace_is_an_error_with_the_reason():
    with pytest.raises(InputError, match="there is no Linear or Conv2d to replace"):
        sparsify(nn.ReLU(), TEXT)
    with pytest.raises(InputError, match=r"the layer stays dense: butterfly .*n=17") as caught:
        sparsify(nn.Linear(17, 17), TEXT)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="unknown topology 'buterfly'"):
        sparsify(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)), "buterfly(radix=4)")


def test_layers_are_chosen_by_name_and_module():
    module = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsify(module, TEXT, layers=lambda name, layer: name == "3.2")
    assert isinstance(module[0], nn.Conv2d)
    assert isinstance(module[3][0], nn.Linear)
    assert isinstance(module[3][2], SparseCascade)
    with pytest.raises(InputError, match="no Linear or Conv2d"):
        sparsify(module, TEXT, layers=lambda name, layer: False)


def test_the_topology_may_be_a_value_or_a_function_of_the_widths():
    module = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    with pytest.warns(UserWarning, match="does not join 16 to 4"):
        sparsify(module, Butterfly(16, 4))
    assert module[0].topology == Butterfly(16, 4)
    module = sparsify(network(), lambda a, b: Dense(a, out=b))
    assert module[3][0].topology == Dense(64, out=16)


def test_a_layer_that_would_not_get_smaller_stays_dense():
    module = nn.Sequential(nn.Linear(256, 256), nn.Linear(32, 10))
    with pytest.warns(UserWarning, match="1 stays dense: .* needs 652 weights, .* has 320"):
        sparsify(module, "parallel-butterfly(radix=4)")
    assert isinstance(module[0], SparseCascade)
    assert isinstance(module[1], nn.Linear)


def test_a_misspelt_kind_is_no_matter_of_the_layers():
    with pytest.raises(InputError, match=r"^unknown topology 'buterfly'; did you mean butterfly"):
        sparsify(nn.Linear(64, 64), "buterfly(radix=4)")


def test_gain_is_passed_on():
    module = sparsify(nn.Sequential(nn.Linear(16, 16), nn.Conv2d(16, 16, 3)), TEXT, gain=0.0)
    assert not module[0](torch.randn(2, 16)).any()
    assert not module[1](torch.randn(2, 16, 5, 5)).any()


def variance(layer):
    """Of the entries of the effective dense weight, times the number of inputs."""
    cascade = layer.channels if isinstance(layer, SparseConv2d) else layer
    dense = cascade.to_dense().detach()
    if cascade.topology.skip:
        dense = dense - torch.eye(len(dense))
    return dense.var().item() * cascade.topology.in_features


@pytest.mark.parametrize("make", [nn.Linear, lambda n, m: nn.Conv2d(n, m, 1)], ids=["fc", "conv"])
@pytest.mark.parametrize(
    ("topology", "gain", "expected"),
    [
        ("butterfly(radix=16)", None, [2, 1, 1, 2, 1]),
        ("butterfly(radix=16, skip=true)", None, [1, 1, 1, 1, 1]),
        ("butterfly(radix=16)", 3.0, [9, 9, 9, 9, 9]),
    ],
)
def test_layers_right_before_a_relu_take_its_gain(make, topology, gain, expected):
    torch.manual_seed(0)
    module = nn.Sequential(
        make(256, 256), nn.ReLU(), make(256, 256), nn.GELU(), make(256, 256), nn.Identity(),
        nn.ReLU(), nn.Sequential(make(256, 256), nn.ReLU(inplace=True)),
        nn.ModuleList([make(256, 256), nn.ReLU()]),
    )  # fmt: skip
    sparsify(module, topology, gain=gain)
    layers = [module[0], module[2], module[4], module[7][0], module[8][0]]
    assert [variance(layer) for layer in layers] == pytest.approx(expected, rel=0.15)


def test_a_stack_of_relu_layers_keeps_the_second_moment():
    torch.manual_seed(0)
    pairs = [part for _ in range(20) for part in (nn.Linear(1024, 1024), nn.ReLU())]
    module = sparsify(nn.Sequential(*pairs), "butterfly(radix=32)")
    x = torch.relu(torch.randn(32, 1024)) * 2**0.5
    with torch.no_grad():
        assert 0.4 < module(x).square().mean().item() < 2.5


def test_the_replaced_network_trains():
    torch.manual_seed(0)
    module = sparsify(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)), TEXT)
    x, y = torch.randn(64, 16), torch.randint(4, (64,))
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
