"""Models are verified on what they are made for: token ids, masks, caches, real samples."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support import model_proto, unstructured
from typer.testing import CliRunner

import nfcompile
from nfcompile.cli import app
from nfcompile.errors import InputError, UnsupportedModelError, VerificationError
from nfcompile.version import __version__

RNG = np.random.default_rng(0)
N = 128
W = unstructured(RNG, (N, N), 0.05)
TABLE = RNG.standard_normal((100, N)).astype(np.float32)
HEAD = RNG.standard_normal((N, 10)).astype(np.float32)
CLASSIFIER = f"agraph (float[b,{N}] x) => (float[b,10] y) {{ h = MatMul(x, w)\n y = MatMul(h, v) }}"
DECODER = f"""agraph (int64[b,s] input_ids, int64[b,total] attention_mask, float[b,past,{N}] cache)
    => (float[b,s,{N}] y) {{
    x = Gather(table, input_ids)
    keys = Concat<axis=1>(cache, x)
    flat = Transpose<perm=[0,2,1]>(keys)
    scores = MatMul(x, flat)
    float_mask = Cast<to=1>(attention_mask)
    wide = Unsqueeze(float_mask, one)
    kept = Mul(scores, wide)
    mixed = MatMul(kept, keys)
    y = MatMul(mixed, w)
}}"""


def run(*args: Any) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    onnx.save(model_proto(CLASSIFIER, w=W, v=HEAD), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    x = RNG.standard_normal((50, N)).astype(np.float32)
    labels = (x @ W @ HEAD).argmax(axis=1)
    labels[:5] += 1
    np.savez(tmp_path / "real.npz", x=x, labels=labels)
    return tmp_path / "real.npz"


def noisy(classifier: Path, scale: float) -> Path:
    """The same network with a head that is a bit off."""
    other = HEAD + (RNG.standard_normal(HEAD.shape) * scale).astype(np.float32)
    onnx.save(model_proto(CLASSIFIER, w=W, v=other), classifier.with_name("noisy.onnx"))
    return classifier.with_name("noisy.onnx")


def test_a_decoder_whose_lengths_are_tied_needs_no_example(tmp_path: Path) -> None:
    path, out = tmp_path / "m.onnx", tmp_path / "out.onnx"
    onnx.save(model_proto(DECODER, table=TABLE, w=W, one=np.array([1])), path)
    compiled = nfcompile.compile(path)
    assert compiled.decisions[-1].encoding == "csr"
    compiled.save(out)
    assert compiled.report.samples == nfcompile.verify(path, out).samples == 3
    assert run("bench", path, out, "--batch", 2, "-w", 0, "-t", 0.01).exit_code == 0


def test_a_model_that_runs_in_no_layout_gives_the_error_of_the_first(tmp_path: Path) -> None:
    text = "agraph (float[b,s] x) => (float[b,s] y) { z = Reshape(x, shape)\n y = Add(x, z) }"
    onnx.save(model_proto(text, shape=np.array([7, 9, 5])), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match=r"fails on inputs x \[3, 5\]"):
        nfcompile.compile(tmp_path / "m.onnx")


def test_a_table_that_is_wrong_in_a_late_row_is_found(tmp_path: Path) -> None:
    text = f"agraph (int64[b,50] i) => (float[b,50,{N}] y) {{ y = Gather(table, i) }}"
    wrong = TABLE.copy()
    wrong[60:] += 1
    for name, table in (("a", TABLE), ("b", wrong)):
        onnx.save(model_proto(text, table=table), tmp_path / f"{name}.onnx")
    assert not nfcompile.verify(tmp_path / "a.onnx", tmp_path / "b.onnx").passed


def test_verify_tells_errors_answers_and_accuracy_on_real_samples(
    classifier: Path, samples: Path
) -> None:
    other = noisy(classifier, 0.02)
    result = run("verify", classifier, other, "--data", samples, "--atol", 9, "--json", "-")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["samples"] == 5  # calls: one sample, then sixteen
    assert data["outputs"][0]["answers"] == 50
    assert data["outputs"][0]["rms"] > 0
    assert data["accuracy"]["labels"] == 50
    assert data["accuracy"]["right_before"] == 45
    assert "accuracy of output y on 50 labels: 90.00 %, now " in result.stderr
    same = nfcompile.verify(classifier, other, data=samples, batch=25, atol=9.0)
    assert same.samples == 2
    assert same.outputs[0].agreed == data["outputs"][0]["agreed"]
    assert same.accuracy is not None


def test_too_few_equal_answers_fail(classifier: Path, samples: Path) -> None:
    other = noisy(classifier, 0.5)
    loose = ("verify", classifier, other, "--data", samples, "--atol", 1e9)
    assert run(*loose).exit_code == 0
    result = run(*loose, "--min-agreement", 0.99)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "FAILED"
    assert "agreement below 0.99" in result.stdout


def test_compile_verifies_on_real_samples(classifier: Path, samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = run(
        "compile", classifier, "-o", out, "--data", samples, "--precision", "bf16", "--json", "-"
    )
    assert result.exit_code == 0, result.stderr
    verification = json.loads(result.stdout)["verification"]
    assert verification["outputs"][0]["answers"] == verification["accuracy"]["labels"] == 50
    assert "% of 50" in result.stderr


def test_compile_writes_nothing_where_too_few_answers_stay_the_same(
    classifier: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfcompile.compare.same_top1", lambda reference, got: (49, 50))
    with pytest.raises(VerificationError, match="gives the same answer in 245 of 250 cases only"):
        nfcompile.compile(classifier, data=samples, min_agreement=0.99)


def test_data_and_inputs_exclude_each_other_and_a_batch_needs_data(
    classifier: Path, samples: Path
) -> None:
    one = {"x": np.ones((1, N), np.float32)}
    with pytest.raises(InputError, match="not both"):
        nfcompile.verify(classifier, classifier, inputs=one, data=samples)
    with pytest.raises(InputError, match="batch goes with data only"):
        nfcompile.verify(classifier, classifier, batch=3)


MODULE = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Linear(8, 4), (torch.ones(2, 8),)
"""


def test_verify_takes_a_torch_reference(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    reference = f"{tmp_path / 'net.py'}:make"
    assert run("compile", reference, "-o", tmp_path / "m.onnx").exit_code == 0
    assert run("verify", reference, tmp_path / "m.onnx").exit_code == 0
    (tmp_path / "net.py").write_text(MODULE.replace("seed(0)", "seed(1)"))
    other = subprocess.run(
        [sys.executable, "-m", "nfcompile", "verify", reference, tmp_path / "m.onnx"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (other.returncode, other.stdout.splitlines()[-1]) == (1, "FAILED")


@pytest.mark.parametrize("verb", ["bench", "explain"])
def test_verbs_for_files_say_what_to_do_with_a_reference(verb: str) -> None:
    result = run(verb, "net.py:make")
    assert result.exit_code == 2
    assert result.stderr == (
        "nfcompile: error: net.py:make is no .onnx file, which is all that is taken here: "
        "compile it first, nfcompile compile net.py:make -o model.onnx\n"
    )


def test_the_version_is_shown() -> None:
    assert run("--version").stdout == f"nfcompile {__version__}\n"
