"""`make gpu-check`: without a GPU it says so; with one it checks, measures and writes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu_check
import gpu_operators
import numpy as np
import onnxruntime
import pytest
import torch
from support_fake_cuda import FakeCuda, FakeProduct

import nfcompile
from nfcompile.runtime.ort import OrtEngine

ROOT = Path(__file__).parents[2]
VARIANTS = tuple(SimpleNamespace(symbol=name) for name in ("bsr16_f32_f32_small", "never"))


class Wrong(FakeProduct):
    """Every output is doubled."""

    def run(self, *args: Any, **kwargs: Any) -> np.ndarray:
        return 2 * super().run(*args, **kwargs)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A machine with a GPU and a build of the kernels, but for PyTorch and ONNX Runtime."""
    cuda = FakeCuda()
    monkeypatch.setattr(gpu_check, "gpu_problem", lambda: "")
    monkeypatch.setattr(gpu_check, "build", lambda progress: "")
    monkeypatch.setattr("nfcompile._native.cuda", cuda, raising=False)
    monkeypatch.setattr("nfcompile.gpu.variants.VARIANTS", VARIANTS)
    monkeypatch.setattr("nfcompile.runtime.cuda.cuda_problem", lambda: "onnxruntime has none")
    monkeypatch.setattr("gpu_numerics._BLOCKS", (16,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return cuda


def test_without_a_gpu_it_says_so_builds_nothing_and_exits_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def never(progress: Any) -> str:
        raise AssertionError("built for nothing")

    monkeypatch.setattr(gpu_check, "build", never)
    monkeypatch.setattr(gpu_check, "gpu_problem", lambda: "CUDA sees no device")
    assert gpu_check.main(["--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == (
        "gpu-check: no GPU here: CUDA sees no device; nothing to check\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_command_needs_nothing_but_python_to_find_no_gpu(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": ""}
    script = ROOT / "benchmarks" / "gpu_check.py"
    done = subprocess.run(
        [sys.executable, "-S", str(script)], capture_output=True, text=True, env=environment,
        cwd=tmp_path, check=False,
    )  # fmt: skip
    if "no GPU here" not in done.stdout:
        pytest.skip("there is a GPU")
    assert (done.returncode, done.stderr) == (0, "")


def test_right_kernels_pass_and_what_was_left_out_is_said(
    machine: FakeCuda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_check.main(["--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "all checks passed" in told
    assert "not run by any check: never" in told
    assert "operators are not run inside ONNX Runtime: onnxruntime has none" in told
    assert "not measured: benchmarks/gpu.py needs PyTorch with CUDA" in told
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["kernels"]["not_run"] == ["never"] and not found["kernels"]["failed"]
    assert "## Checks" in (tmp_path / "gpu.md").read_text()


def test_a_wrong_kernel_is_told_and_fails(
    machine: FakeCuda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.product = Wrong
    assert gpu_check.main(["--out", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "times what is allowed" in told and "checks failed" in told
    assert "- bsr16" in (tmp_path / "gpu.md").read_text()


def test_kernels_that_cannot_run_are_told(
    machine: FakeCuda, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "available", lambda: "the driver is too old")
    assert gpu_check.main([]) == 1
    assert "the kernels cannot run: the driver is too old" in capsys.readouterr().out


def test_a_build_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "gpu_problem", lambda: "")
    monkeypatch.setattr(gpu_check, "_is_built", lambda: False)
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    done = SimpleNamespace(returncode=1, stdout="no compiler\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)
    assert gpu_check.main([]) == 1
    assert "cannot build: cmake -S" in capsys.readouterr().out


def test_what_is_built_is_copied_beside_the_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    package, folder = tmp_path / "nfcompile", tmp_path / "build" / "gpu"
    package.mkdir()

    def fake(command: list[str], **kwargs: Any) -> SimpleNamespace:
        commands.append(command)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("_native.cpython-311.so", "libnfcompile_ops.so", "libnfcompile_ops_cuda.so"):
            (folder / name).write_text(name)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    monkeypatch.setattr(gpu_check, "PACKAGE", package)
    monkeypatch.setattr(gpu_check, "_is_built", (package / "libnfcompile_ops_cuda.so").exists)
    monkeypatch.setattr(subprocess, "run", fake)
    assert gpu_check.build(lambda text: None) == ""
    assert len(commands) == 2
    assert f"-DPython_EXECUTABLE={sys.executable}" in commands[0]
    assert {"_native", "nfcompile_ops_cuda"} <= set(commands[1])
    assert len(list(package.glob("*.so"))) == 3
    assert gpu_check.build(lambda text: None) == ""
    assert len(commands) == 2  # what is there is taken


def test_models_inside_onnxruntime_are_compared_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The CPU's operators in the place of CUDA's, which are compiled across to get there.
    def on_cpu(proto: Any, *, target: str, **options: Any) -> Any:
        return compile_model(proto, target=target, cross=target == "ort-cuda", **options)

    compile_model, session = nfcompile.compile, nfcompile.session
    monkeypatch.setattr(nfcompile, "compile", on_cpu, raising=False)
    monkeypatch.setattr(
        nfcompile, "session", lambda path: session(path, ["CPUExecutionProvider"]), raising=False
    )
    models = [item for item in gpu_operators._models() if "fp16" not in item[0]]
    monkeypatch.setattr(gpu_operators, "_models", lambda: iter(models))
    monkeypatch.setattr("nfcompile.runtime.ort_cuda.OrtCudaEngine", lambda **options: OrtEngine())
    names = dict(gpu_operators.check_operators(lambda text: None))
    assert names == dict.fromkeys(names, "")
    assert sum(name.startswith("portable") for name in names) == 3
    assert {"bsr in fp32", "csr in bf16", "block-diagonal in fp32"} <= set(names)


def test_a_wrong_session_is_told() -> None:
    proto = gpu_operators._network("float", np.eye(gpu_operators._N, dtype=np.float32))

    class Off:
        def __init__(self) -> None:
            self.inner = onnxruntime.InferenceSession(proto.SerializeToString())

        def get_inputs(self) -> Any:
            return self.inner.get_inputs()

        def run(self, names: None, feeds: Any) -> list[np.ndarray]:
            return [1.01 * self.inner.run(names, feeds)[0]]

    assert "batch 1: off by" in gpu_operators._compare(proto, Off())
