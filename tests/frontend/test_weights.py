"""Weights load whole or not at all, and what does not fit is named."""

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.weights import load_state, load_weights
from nfcompile.nn import SparseCascade
from nfcompile.topology import parse


def network(hidden=6):
    return nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, 4))


def save_torch(state, path):
    torch.save(state, path)


@pytest.mark.parametrize(
    ("name", "save"), [("w.safetensors", safetensors.torch.save_file), ("w.pt", save_torch)]
)
def test_saved_weights_are_those_that_are_loaded(tmp_path, name, save):
    saved, module = network(), network()
    save(saved.state_dict(), tmp_path / name)
    load_weights(module, tmp_path / name, "network")
    x = torch.randn(3, 8)
    torch.testing.assert_close(module(x), saved(x), rtol=0, atol=0)


def test_the_state_dict_of_a_checkpoint_is_found(tmp_path):
    saved = network()
    torch.save({"epoch": 3, "state_dict": saved.state_dict()}, tmp_path / "w.ckpt")
    assert set(load_state(tmp_path / "w.ckpt")) == set(saved.state_dict())


def test_weights_of_a_pruned_module_load_into_a_fresh_one_with_their_zeros(tmp_path):
    pruned, fresh = network(), network()
    prune.l1_unstructured(pruned[0], "weight", amount=0.7)
    assert "0.weight_orig" in pruned.state_dict()
    torch.save(pruned.state_dict(), tmp_path / "w.pt")
    load_weights(fresh, tmp_path / "w.pt", "network")
    assert (fresh[0].weight == 0).float().mean() >= 0.7 - 1e-6
    x = torch.randn(3, 8)
    torch.testing.assert_close(fresh(x), pruned(x))


def test_weights_of_a_pruned_module_load_into_a_pruned_one(tmp_path):
    saved, module = network(), network()
    for m in (saved, module):
        prune.random_unstructured(m[0], "weight", amount=0.5)
    torch.save(saved.state_dict(), tmp_path / "w.pt")
    load_weights(module, tmp_path / "w.pt", "network")
    torch.testing.assert_close(module[0].weight_mask, saved[0].weight_mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), "w.pt does not fit network: missing 0.bias$"),
        (lambda s: s.update(extra=s["0.bias"]), "unexpected extra$"),
        (lambda s: s.update(network(5).state_dict()), "0.weight must be 6x8, got 5x8, 0.bias"),
        (lambda s: s.clear(), "missing 0.weight, 0.bias, 2.weight and 1 more$"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path, change, message):
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = network().state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=message) as caught:
        load_weights(module, tmp_path / "w.pt", "network")
    assert "\n" not in str(caught.value)
    torch.testing.assert_close(dict(module.state_dict()), before)


class Payload:
    ran = False

    def __reduce__(self):
        return (setattr, (Payload, "ran", True))


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path):
    torch.save({"weight": Payload()}, tmp_path / "w.pt")
    with pytest.raises(UnsupportedModelError, match="holds no weights that load without"):
        load_state(tmp_path / "w.pt")
    assert not Payload.ran


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short"])
def test_a_file_without_weights_is_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedModelError, match="holds no weights") as caught:
        load_state(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(UnsupportedModelError, match=r"must hold a state dict.*got list"):
        load_state(tmp_path / "w.pt")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*gone\.pt"):
        load_state(tmp_path / "gone.pt")


def test_a_cascade_of_another_topology_is_refused_in_one_line(tmp_path):
    saved, module = (
        nn.Sequential(SparseCascade(parse(text)))
        for text in ("butterfly(n=16, radix=4)", "random(n=16, degree=4, layers=2)")
    )
    save_torch(saved.state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"connections of factor .* must be those of random") as e:
        load_weights(module, tmp_path / "w.pt", "network")
    assert "\n" not in str(e.value)
