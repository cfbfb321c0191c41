"""Weights load whole or not at all, and what does not fit is named."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.checkpoints import load_state
from nfcompile.frontend.weights import load_weights
from nfcompile.nn import SparseCascade
from nfcompile.topology import parse

INDEX = "model.safetensors.index.json"


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


def sharded(folder, state):
    """Two files of weights and their index."""
    names = sorted(state)
    where = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(names)}
    for file in set(where.values()):
        part = {name: state[name] for name in names if where[name] == file}
        safetensors.torch.save_file(part, folder / file)
    index = folder / INDEX
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


@pytest.mark.parametrize("as_folder", [False, True])
def test_weights_in_several_files_are_found_by_their_index(tmp_path, as_folder):
    saved, module = network(), network()
    index = sharded(tmp_path, saved.state_dict())
    load_weights(module, tmp_path if as_folder else index, "network")
    torch.testing.assert_close(dict(module.state_dict()), dict(saved.state_dict()))


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda f: (f / "part-1.safetensors").unlink(), InputError, "no such file: .*part-1"),
        (lambda f: (f / INDEX).write_text("{}"), UnsupportedModelError, "no index of weights"),
        (lambda f: (f / INDEX).write_text("no"), UnsupportedModelError, "no index of weights"),
        (
            lambda f: (f / INDEX).write_text('{"weight_map": {"w": "../part-1.safetensors"}}'),
            UnsupportedModelError,
            r"must name files beside it, got \.\./part-1",
        ),
        (
            lambda f: (f / INDEX).write_text('{"weight_map": {"w": "part-1.safetensors"}}'),
            UnsupportedModelError,
            "names weights that its files lack: w",
        ),
        (
            lambda f: (f / INDEX).write_text('{"weight_map": [1]}'),
            UnsupportedModelError,
            "must map",
        ),
        (lambda f: (f / INDEX).unlink(), InputError, "has no weights: none of model.safetensors"),
    ],
)
def test_a_bad_index_is_refused_in_one_line(tmp_path, spoil, error, words):
    sharded(tmp_path, network().state_dict())
    spoil(tmp_path)
    with pytest.raises(error, match=words) as caught:
        load_state(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
def test_sparse_tensors_of_a_state_dict_become_sparse_weights(tmp_path, layout):
    saved, module = network(), network()
    prune.l1_unstructured(saved[0], "weight", amount=0.7)
    prune.remove(saved[0], "weight")
    state = saved.state_dict()
    state["0.weight"] = getattr(state["0.weight"], layout)()
    torch.save(state, tmp_path / "w.pt")
    load_weights(module, tmp_path / "w.pt", "network")
    assert module[0].weight.layout == state["0.weight"].layout
    torch.testing.assert_close(module[0].weight.to_dense(), saved[0].weight.detach())
    load_weights(module, tmp_path / "w.pt", "network")  # into the sparse module, too
    torch.testing.assert_close(module[0].weight.to_dense(), saved[0].weight.detach())


def test_damaged_sparse_tensors_are_refused(tmp_path):
    tensor = torch.sparse_csr_tensor(
        torch.tensor([0, 1, 2]), torch.tensor([0, 9]), torch.ones(2), (2, 3), check_invariants=False
    )
    torch.save({"weight": tensor}, tmp_path / "w.pt")
    with pytest.raises(UnsupportedModelError, match="holds no weights"):
        load_state(tmp_path / "w.pt")


def test_a_tied_weight_need_not_be_saved_twice(tmp_path):
    def tied():
        module = nn.Sequential(nn.Embedding(6, 8), nn.Linear(8, 6, bias=False))
        module[1].weight = module[0].weight
        return module

    saved, module = tied(), tied()
    safetensors.torch.save_file({"0.weight": saved[0].weight}, tmp_path / "w.safetensors")
    load_weights(module, tmp_path / "w.safetensors", "network")
    assert module[1].weight is module[0].weight
    torch.testing.assert_close(module[0].weight, saved[0].weight)
    sparse = {"1.weight": saved[0].weight.detach().to_sparse_csr()}
    torch.save(sparse, tmp_path / "w.pt")
    load_weights(module, tmp_path / "w.pt", "network")
    assert module[1].weight is module[0].weight
