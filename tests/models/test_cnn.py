"""The convolutional network has sparse convolutions of any topology, and compiles."""

import pytest
import torch

import nfcompile
from nfcompile.errors import InputError
from nfcompile.models.cnn import butterfly_cnn, cnn
from nfcompile.nn import SparseConv2d

CASES = [
    ("butterfly(radix=4)", 1),
    ("butterfly(radix=4)", 3),
    ("parallel-butterfly(radix=4, parallel=2)", 1),
    ("pixelfly(block=4)", 3),
]


def make(topology, kernel):
    torch.manual_seed(0)
    return cnn((3, 8, 8), 5, topology, channels=16, depth=2, kernel_size=kernel).eval()


@pytest.mark.parametrize(("topology", "kernel"), CASES)
def test_every_convolution_after_the_stem_is_sparse_and_all_but_the_first_halve(topology, kernel):
    module = make(topology, kernel)
    sparse = [layer for layer in module if isinstance(layer, SparseConv2d)]
    assert [layer.stride for layer in sparse] == [(1, 1), (2, 2)]
    shapes, x = [], torch.randn(2, 3, 8, 8)
    for layer in module:
        x = layer(x)
        if isinstance(layer, SparseConv2d):
            shapes.append(tuple(x.shape))
    assert shapes == [(2, 16, 8, 8), (2, 16, 4, 4)]
    assert x.shape == (2, 5)


def test_gradients_reach_every_parameter():
    module = make("butterfly(radix=4)", 3).train()
    module(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_channels_that_the_topology_cannot_have_are_refused():
    with pytest.raises(InputError, match="n=17 must be a power"):
        cnn((3, 8, 8), 5, "butterfly(radix=4)", channels=17)


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize(("topology", "kernel"), [CASES[0]])
def test_compiled_it_computes_the_same(topology, kernel, target, tmp_path):
    module, x = make(topology, kernel), torch.randn(2, 3, 8, 8)
    path = tmp_path / "cnn.onnx"
    nfcompile.compile(module, x, target=target).save(path)
    session = nfcompile.session(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=1e-3, atol=1e-4)


def test_the_named_network_fits_its_example():
    module, x = butterfly_cnn()
    with torch.no_grad():
        assert module(x[:1]).shape == (1, 10)
    assert not module.training
