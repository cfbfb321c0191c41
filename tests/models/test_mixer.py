"""The mixer mixes tokens and channels by cascades, and compiles."""

import pytest
import torch

import nfcompile
from nfcompile.errors import InputError
from nfcompile.models.mixer import Mixer, butterfly_mixer
from nfcompile.nn import SparseCascade

TEXTS = ["butterfly(radix=4)", "parallel-butterfly(radix=4, parallel=2)", "monarch"]


def make(topology):
    torch.manual_seed(0)
    return Mixer((3, 8, 8), 5, topology, patch=2, width=64, depth=1).eval()


@pytest.mark.parametrize("topology", TEXTS)
def test_every_product_in_a_block_is_a_cascade_over_tokens_or_channels(topology):
    module = make(topology)
    widths = [m.topology.in_features for m in module.modules() if isinstance(m, SparseCascade)]
    assert widths == [16, 16, 64, 64]
    assert module(torch.randn(2, 3, 8, 8)).shape == (2, 5)


def test_a_token_reaches_all_others_and_a_sample_none():
    module = make("butterfly(radix=4)")
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    module(x)[0].sum().backward()
    assert (x.grad[0] != 0).all()
    assert not x.grad[1].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 3}, "patch must divide 8 and 8, got 3"),
        ({"patch": 0}, "patch must divide 8 and 8, got 0"),
        ({"width": 17}, "n=17 must be a power"),
    ],
)
def test_images_and_widths_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Mixer((3, 8, 8), 5, "butterfly(radix=4)", **arguments)


@pytest.mark.parametrize("target", ["ort-cpu", "portable"])
@pytest.mark.parametrize("topology", TEXTS[1:2])
def test_compiled_it_computes_the_same(topology, target, tmp_path):
    module, x = make(topology), torch.randn(2, 3, 8, 8)
    path = tmp_path / "mixer.onnx"
    nfcompile.compile(module, x, target=target).save(path)
    session = nfcompile.session(path)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), module(x), rtol=1e-3, atol=1e-4)


def test_the_named_network_fits_its_example():
    module, x = butterfly_mixer()
    with torch.no_grad():
        assert module(x[:1]).shape == (1, 10)
