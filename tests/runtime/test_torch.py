"""PyTorch as an engine: its modes agree, and its threads are those asked for."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nfcompile.errors import EngineMissingError
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, unstructured_weight
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.torch import TorchEngine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_model(chain([unstructured_weight((8, 8), 0.5, 0)], relu=True), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("mode", ["eager", "compile", "csr"])
def test_a_mode_agrees_with_onnxruntime(
    mode: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode == "compile":  # without its C++ compiler, which takes a minute
        original = torch.compile
        monkeypatch.setattr(torch, "compile", lambda m: original(m, backend="eager"))
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    engine = TorchEngine(mode)  # type: ignore[arg-type]
    assert engine.name == ("torch" if mode == "eager" else f"torch-{mode}")
    got = engine.load(path, 1).run({"x": x})["y"]
    expected = OrtEngine().load(path, 1).run({"x": x})["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_a_module_that_was_saved_whole_takes_its_inputs_by_name(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda m: original(m, backend="eager"))
    module = torch.nn.Bilinear(3, 2, 4)
    torch.save(module, tmp_path / "module.pt")
    runner = TorchEngine(mode).load(tmp_path / "module.pt", 1)  # type: ignore[arg-type]
    a, b = torch.randn(5, 3), torch.randn(5, 2)
    inputs = {"input2": b.numpy(), "input1": a.numpy()}
    (got,) = runner.run(inputs).values()
    np.testing.assert_allclose(got, module(a, b).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert runner.timed(inputs)() > 0


def test_a_runner_sets_its_number_of_threads(path: Path) -> None:
    before = torch.get_num_threads()
    try:
        runner = TorchEngine().load(path, 2)
        torch.set_num_threads(1)
        runner.timed({"x": np.zeros((1, 8), np.float32)})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_torch_that_is_missing_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineMissingError, match="pip install torch"):
        TorchEngine().load(path, 1)
