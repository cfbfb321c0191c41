"""From a module's code and a checkpoint of sparse weights to a file that runs sparse."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from support_checkpoints import BITMASK, bitmask_weights
from torch import nn
from torch.nn.utils import prune
from typer.testing import CliRunner

import nfcompile
from nfcompile.cli import app
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir.remarks import decisions

WEIGHT = bitmask_weights()["0.weight"]
CODE = """
import torch
def make():
    layer = torch.nn.Linear(128, 128, bias=False)
    return torch.nn.Sequential(layer, torch.nn.ReLU()), (torch.ones(2, 128),)
"""


def plain(path: Path) -> Path:
    safetensors.torch.save_file({"0.weight": WEIGHT}, path / "w.safetensors")
    return path / "w.safetensors"


def in_shards(path: Path) -> Path:
    plain(path)
    index = {"weight_map": {"0.weight": "w.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def still_pruned(path: Path) -> Path:
    module = nn.Sequential(nn.Linear(128, 128, bias=False))
    module[0].weight = nn.Parameter(WEIGHT)
    prune.custom_from_mask(module[0], "weight", WEIGHT != 0)
    torch.save(module.state_dict(), path / "w.pt")
    return path / "w.pt"


def torch_csr(path: Path) -> Path:
    torch.save({"0.weight": WEIGHT.to_sparse_csr()}, path / "w.pt")
    return path / "w.pt"


def bitmask(path: Path) -> Path:
    parts = safetensors.torch.load_file(BITMASK)
    mine = {key: tensor for key, tensor in parts.items() if key.startswith("0.")}
    safetensors.torch.save_file(mine, path / "w.safetensors")
    return path / "w.safetensors"


@pytest.mark.parametrize("save", [plain, in_shards, still_pruned, torch_csr, bitmask])
def test_every_form_of_a_sparse_checkpoint_runs_sparse(
    save: Callable[[Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(CODE)
    out = tmp_path / "m.onnx"
    options = ["-o", str(out), "--weights", str(save(tmp_path))]
    result = CliRunner().invoke(app, ["compile", f"{tmp_path / 'net.py'}:make", *options])
    assert result.exit_code == 0, result.stderr
    (decision,) = decisions(read_model(out))
    assert (decision.encoding, decision.weight) == ("csr", "0.weight")
    x = np.random.default_rng(0).standard_normal((5, 128)).astype(np.float32)
    session = nfcompile.session(out)
    (got,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(got, np.maximum(x @ WEIGHT.numpy().T, 0), rtol=1e-4, atol=1e-4)
