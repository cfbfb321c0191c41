"""Networks of transformers have the shapes that they are called by, and need no torch to import."""

import subprocess
import sys

import pytest
import torch

from nfcompile.errors import EngineMissingError
from nfcompile.models import network as module
from nfcompile.models.bert import bert
from nfcompile.models.llama import llama
from nfcompile.models.vision import resnet, resnet50, vit

SMALL = {"layers": 1, "hidden": 32, "heads": 4, "intermediate": 64}


def test_padding_does_not_change_the_tokens_before_it() -> None:
    network = bert(**SMALL, vocabulary=50, tokens=8)
    ids, mask, types = network.inputs.values()
    assert mask[1].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    with torch.no_grad():
        padded = network.module(ids, mask, types)
        alone = network.module(ids[1:, :6], mask[1:, :6], types[1:, :6])
    torch.testing.assert_close(padded[1:, :6], alone, rtol=1e-4, atol=1e-5)


def test_decoding_token_by_token_gives_what_the_whole_prompt_gives() -> None:
    network = llama(**SMALL, key_value_heads=2, vocabulary=50, tied=True)
    assert network.module.model.lm_head.weight is network.module.model.model.embed_tokens.weight
    ids = torch.tensor([[3, 14, 15, 9, 26]])
    empty = torch.zeros((1, 2, 0, 8))
    with torch.no_grad():
        whole, keys, _ = network.module(ids, torch.ones((1, 5)).long(), [empty], [empty])
        past = [empty], [empty]
        for index in range(5):
            mask = torch.ones((1, index + 1)).long()
            logits, *past = network.module(ids[:, index : index + 1], mask, *past)
            torch.testing.assert_close(logits[:, 0], whole[:, index], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(past[0][0], keys[0], rtol=1e-4, atol=1e-5)


def test_activations_of_a_deep_network_stay_of_order_one() -> None:
    network = resnet(stem=16, widths=[32, 64], depths=[6, 6], size=32, classes=10)
    seen = []
    for part in network.module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.register_forward_hook(lambda m, i, y: seen.append(float(y.std())))
    with torch.no_grad():
        network.module(**network.inputs)
    assert len(seen) == 12 * 3 + 3
    assert all(0.2 < value < 2 for value in seen)


def test_resnet50_has_its_layers() -> None:
    network = resnet50()
    convs = [m for m in network.module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) == 53
    assert sum(p.numel() for p in network.module.parameters()) == 25_557_032


def test_random_weights_are_those_of_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    made = [vit(**SMALL, patch=8, size=16, classes=4, seed=seed) for seed in (1, 1, 2)]
    assert torch.rand(1) == expected
    first, same, other = (dict(item.module.named_parameters()) for item in made)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_without_transformers_the_error_says_how_to_get_it(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(EngineMissingError, match="pip install transformers"):
        bert(**SMALL)


def test_transformers_is_imported_by_a_network_only() -> None:
    code = "import sys, nfcompile, nfcompile.models.bert; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
