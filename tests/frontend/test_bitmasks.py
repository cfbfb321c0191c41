"""Checkpoints of compressed-tensors are read exactly, and by their non-zeros."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support_checkpoints import BITMASK, BITMASK_24, bitmask_weights, two_four_weights
from torch import Tensor, nn

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend import bitmasks
from nfcompile.frontend.checkpoints import load_state
from nfcompile.frontend.weights import apply_state, load_weights


@pytest.mark.parametrize(
    ("path", "weights"), [(BITMASK, bitmask_weights()), (BITMASK_24, two_four_weights())]
)
def test_files_that_the_package_wrote_hold_the_weights(
    path: Path, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitmasks, "_AT_ONCE", 1000)  # a few rows at once
    state = load_state(path)
    assert state.keys() == weights.keys()
    for name, weight in weights.items():
        assert state[name].dtype == weight.dtype
        assert state[name].layout == (torch.sparse_csr if weight.ndim == 2 else torch.strided)
        torch.testing.assert_close(state[name].to_dense(), weight, rtol=0, atol=0)


def test_narrow_values_are_widened_as_the_module_has_them() -> None:
    weights = safetensors.torch.load_file(BITMASK)
    module = nn.ModuleDict({"2": nn.Linear(128, 13, bias=False)})
    state = bitmasks.decode_bitmasks({k: v for k, v in weights.items() if k.startswith("2.")})
    apply_state(module, state, "does not fit")
    assert module["2"].weight.dtype == torch.float32
    torch.testing.assert_close(
        module["2"].weight.to_dense(), bitmask_weights()["2.weight"].float(), rtol=0, atol=0
    )


def test_other_layers_than_linear_ones_load_dense() -> None:
    module = nn.Sequential(
        nn.Linear(128, 128, bias=False),
        nn.LayerNorm(128, bias=False),
        nn.Linear(128, 13, bias=False),
        nn.Conv2d(3, 2, 3, bias=False),
    )
    load_weights(module, BITMASK, "module")
    for name, weight in bitmask_weights().items():
        loaded = module.get_parameter(name)
        assert loaded.layout == (torch.sparse_csr if weight.ndim == 2 else torch.strided)
        torch.testing.assert_close(loaded.to_dense(), weight.float(), rtol=0, atol=0)


def test_names_that_end_in_weight_are_taken_as_they_are() -> None:
    parts = safetensors.torch.load_file(BITMASK_24)
    older = {key.replace("0.", "0.weight."): value for key, value in parts.items()}
    assert set(bitmasks.decode_bitmasks(older)) == {"0.weight"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("0.compressed"), "weight 0.weight stored by a bitmask lacks its compr"),
        (lambda s: s.pop("0.shape"), "lacks its shape"),
        (
            lambda s: s.update({"0.compressed": s["0.compressed"][:-1]}),
            r"weight 0.weight has \d+ values for \d+ bits of its bitmask",
        ),
        (lambda s: s.update({"0.bitmask": s["0.bitmask"][1:]}), r"needs a bitmask of 128 x 16 by"),
        (lambda s: s.update({"0.row_offsets": s["0.row_offsets"] + 1}), "row_offsets that contra"),
        (lambda s: s.update({"0.shape": torch.tensor([128, 0])}), "needs a bitmask"),
        (
            lambda s: s.update({"0.compressed": s["0.compressed"].to(torch.float8_e4m3fn)}),
            "must be float, got torch.float8_e4m3fn: it is quantized",
        ),
    ],
)
def test_damaged_weights_are_refused_in_one_line(change: Any, words: str) -> None:
    state = safetensors.torch.load_file(BITMASK)
    change(state)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        bitmasks.decode_bitmasks(state)
    assert "\n" not in str(caught.value)
