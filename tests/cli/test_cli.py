"""The command line as a user sees it: stdout, stderr, exit codes."""

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

from nfcompile.cli import app

RNG = np.random.default_rng(0)
TEXT = "agraph (float[b,64] x) => (float[b,64] y) { y = MatMul(x, w) }"


def run(*args: Any) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def one_line(result: Any) -> str:
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("nfcompile: error: ")
    return str(lines[0])


@pytest.fixture
def compiled(mlp: Path, tmp_path: Path) -> Path:
    result = run("compile", mlp, "-o", tmp_path / "out.onnx")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "out.onnx"


def test_compile_shows_what_changed_and_why(mlp: Path, tmp_path: Path) -> None:
    result = run("compile", mlp, "-o", tmp_path / "out.onnx", "--threads", 1)
    assert result.exit_code == 0
    for words in ("nfcompile.SparseChain", "bytes of constants", "multiply-adds", "block-diagonal"):
        assert words in result.stdout
    assert "faster than dense" in result.stdout
    assert "verified on 3 inputs" in result.stderr
    assert "stays dense" in result.stderr


def test_json_on_stdout_is_pure(mlp: Path, tmp_path: Path) -> None:
    result = run("compile", mlp, "-o", tmp_path / "out.onnx", "--json", "-")
    data = json.loads(result.stdout)
    assert [item["encoding"] for item in data["decisions"]][:2] == ["csr", "bsr"]
    assert data["verification"]["outputs"][0]["mismatched"] == 0
    assert "Layers" in result.stderr


def test_json_goes_to_a_file(mlp: Path, tmp_path: Path) -> None:
    result = run("compile", mlp, "-o", tmp_path / "o.onnx", "--json", tmp_path / "r.json")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "r.json").read_text())["after"]["op_types"]["Gemm"] == 1


def test_passes_can_be_chosen_printed_and_timed(mlp: Path, tmp_path: Path) -> None:
    result = run(
        "compile", mlp, "-o", tmp_path / "out.onnx", "-p", "fold-masks,remove-unused",
        "--print-after", "fold-masks", "--time-passes",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr.count("// after fold-masks") == 1
    assert "// after remove-unused" not in result.stderr
    assert "remove-unused" in result.stderr.split("Passes")[1]
    assert "Gemm" in result.stdout


def test_verify_tells_equal_from_different(mlp: Path, compiled: Path, tmp_path: Path) -> None:
    result = run("verify", mlp, compiled)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "PASSED"
    proto = onnx.load(mlp)
    weight = next(item for item in proto.graph.initializer if item.name == "w3")
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0] += 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(array, "w3"))
    onnx.save(proto, tmp_path / "other.onnx")
    result = run("verify", mlp, tmp_path / "other.onnx")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "FAILED"
    assert "differs" in result.stdout
    loose = run("verify", mlp, tmp_path / "other.onnx", "--atol", 1e6)
    assert loose.exit_code == 0


def test_verify_with_json_keeps_stdout_pure(mlp: Path, compiled: Path) -> None:
    result = run("verify", mlp, compiled, "--json", "-")
    assert json.loads(result.stdout)["passed"] is True
    assert result.stderr.splitlines()[-1] == "PASSED"


def test_verify_takes_inputs_from_a_file(mlp: Path, compiled: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((2, 256), np.float32))
    assert run("verify", mlp, compiled, "--inputs", tmp_path / "in.npz").exit_code == 0
    (tmp_path / "bad.npz").write_bytes(b"no")
    result = run("verify", mlp, compiled, "--inputs", tmp_path / "bad.npz")
    assert result.exit_code == 2
    assert "must be a .npz file" in one_line(result)


def test_models_with_other_inputs_are_different(compiled: Path, tmp_path: Path) -> None:
    onnx.save(
        model_proto(TEXT.replace("x", "z"), w=unstructured(RNG, (64, 64), 0.1)),
        tmp_path / "m.onnx",
    )
    result = run("verify", compiled, tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert "different inputs: x only in the first, z only in the second" in one_line(result)


def test_explain_tells_kernel_and_reason(compiled: Path) -> None:
    result = run("explain", compiled, "--json", "-")
    layers = json.loads(result.stdout)["layers"]
    assert [item["encoding"] for item in layers] == ["csr", "bsr", "block-diagonal", "dense"]
    assert layers[0]["kernel"].startswith("csr_f32_")
    assert all(item["reason"] and item["bytes_encoded"] for item in layers)
    assert "csr_f32_" in run("explain", compiled).stdout


def test_explain_refuses_a_model_that_was_not_compiled(mlp: Path) -> None:
    result = run("explain", mlp)
    assert result.exit_code == 3
    assert "was not compiled by nfcompile" in one_line(result)


OPEN_LENGTHS = """
    <ir_version: 8, opset_import: ["" : 18]>
    agraph (float[n, past, 4] x, float[n, now, 4] z, float[n, total, 4] t)
        => (float[n, total, 4] y)
    {
        c = Concat<axis=1>(x, z)
        y = Add(c, t)
    }
"""


def test_an_output_that_is_a_link_stays_one(mlp: Path, tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to(tmp_path / "target.onnx")
    result = run("compile", mlp, "-o", tmp_path / "link.onnx")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "target.onnx").is_file()
    (tmp_path / "dangling.onnx").symlink_to(tmp_path / "none" / "target.onnx")
    result = run("compile", mlp, "-o", tmp_path / "dangling.onnx")
    assert result.exit_code == 2
    assert f"output folder {tmp_path / 'none'} does not exist" in one_line(result)


def test_bench_times_models_that_agree(mlp: Path, compiled: Path) -> None:
    result = run("bench", mlp, compiled, "--batch", "1,3", "-w", 0, "-t", 0.02, "--json", "-")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    rows = data["rows"]
    assert [(row["model"], row["batch"]) for row in rows] == [
        ("mlp.onnx", 1), ("out.onnx", 1), ("mlp.onnx", 3), ("out.onnx", 3),
    ]  # fmt: skip
    assert rows[0]["ratio"] == 1
    assert all(row["median_us"] > 0 and len(row["samples_us"]) >= 5 for row in rows)
    assert data["environment"]["cpu"]


def test_bench_takes_and_tells_the_lengths_of_inputs(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(OPEN_LENGTHS), path)
    result = run("bench", path, path, "--batch", 2, "--length", 9, "-w", 0, "-t", 0.01)
    assert result.exit_code == 0, result.stderr
    assert "inputs at batch 2: x [2, 9, 4] and z [2, 9, 4] and t [2, 18, 4]" in result.stderr
    assert run("bench", path, "--length", 0).exit_code == 2


def test_bench_refuses_models_that_differ(mlp: Path, tmp_path: Path) -> None:
    proto = onnx.load(mlp)
    proto.graph.node[1].op_type = "Neg"
    onnx.save(proto, tmp_path / "other.onnx")
    result = run("bench", mlp, tmp_path / "other.onnx", "-t", 0.01)
    assert result.exit_code == 1
    assert "other.onnx must agree with mlp.onnx to be timed" in one_line(result)
    assert not result.stdout


def test_env_tells_what_is_here() -> None:
    data = json.loads(run("env", "--json", "-").stdout)
    assert data["packages"]["onnxruntime"]
    assert Path(data["op library"]).is_file()
    assert data["kernels used"] in ("amx_bf16", "avx512_bf16", "avx512", "avx2", "scalar")
    assert data["gpu"] == "none"
    assert data["target ort-cuda"]
    assert "onnxruntime" in run("env").stdout


def test_a_model_is_compiled_for_another_machines_gpu(mlp: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.onnx"
    result = run("compile", mlp, "-o", out, "--target", "ort-cuda", "--cross")
    assert result.exit_code == 0, result.stderr
    assert "verified on this CPU, by its kernels of the same operators" in result.stderr
    checked = run("verify", mlp, out, "--cross")
    assert (checked.exit_code, checked.stdout.split()[-1]) == (0, "PASSED")
    assert "nothing ran on CUDA" in checked.stderr
    for verb in (["verify", mlp, out], ["bench", mlp, out, "-t", 0.01]):
        refused = run(*verb)
        assert refused.exit_code == 4
        assert "needs CUDA" in refused.stderr
    told = run("explain", out)
    assert "for ort-cuda, sparse weights in fp32" in told.stdout


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfcompile.runtime.cuda.cuda_problem", lambda: "no CUDA device")
    monkeypatch.setattr("nfcompile.runtime.cuda.gpu_name", lambda: "")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["compile", "none.onnx", "-o", "{tmp}/o.onnx"], 2, "no such file: none.onnx"),
        (["compile", "{tmp}/empty.onnx", "-o", "{tmp}/o.onnx"], 3, "is empty"),
        (["compile", "{tmp}/text.onnx", "-o", "{tmp}/o.onnx"], 3, "is not an ONNX model"),
        (["compile", "{mlp}", "-o", "{tmp}/no/o.onnx"], 2, "does not exist"),
        (["compile", "{mlp}", "-o", "{mlp}"], 2, "must differ from the input"),
        (["compile", "{mlp}", "-o", "{tmp}"], 2, "is a folder"),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--target", "tpu"], 2, "unknown target 'tpu'"),
        (
            ["compile", "{mlp}", "-o", "{tmp}/o.onnx", "-p", "foldmasks"],
            2,
            "did you mean fold-masks?",
        ),
        (
            ["compile", "{mlp}", "-o", "{tmp}/o.onnx", "-p", "encode-weights{x=1}"],
            2,
            "has no option 'x'",
        ),
        (
            ["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--print-after", "nope"],
            2,
            "unknown pass 'nope'",
        ),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--samples", "0"], 2, "samples must be"),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--rtol", "-1"], 2, "rtol must be at least 0"),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--weights", "w.pt"], 2, "weights and input"),
        (["bench", "{mlp}", "--batch", "1,x"], 2, "batch must be sizes"),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--json", "/no/r.json"], 2, "cannot write"),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--inputs", "{tmp}/t.npz"], 2, "a .npz file"),
        (["compile", "{mlp}", "-o", "-"], 2, "output - must be a regular file"),
        (["compile", "{mlp}", "-o", "/dev/null"], 2, "output /dev/null must be a regular file"),
        (["bench", "{mlp}", "--batch", "0"], 2, "batch must be sizes"),
        (["bench", "{mlp}", "-t", "0"], 2, "seconds must be positive"),
        (["verify", "{mlp}", "none.onnx"], 2, "no such file: none.onnx"),
        (
            ["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--target", "ort-cuda"],
            4,
            "with --cross (cross=True) it may be another machine's",
        ),
        (["compile", "{mlp}", "-o", "{tmp}/o.onnx", "--cross"], 2, "goes with target ort-cuda"),
    ],
)
def test_bad_input_gives_one_line_and_its_exit_code_and_writes_nothing(
    args: list[str], code: int, words: str, mlp: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("this is not a model")
    np.savez(tmp_path / "t.npz", x=np.zeros(999))
    (tmp_path / "t.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:600])
    before = sorted(tmp_path.rglob("*"))
    filled = [arg.replace("{tmp}", str(tmp_path)).replace("{mlp}", str(mlp)) for arg in args]
    result = run(*filled)
    assert result.exit_code == code, result.stderr
    assert words in one_line(result)
    assert not result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_option_is_a_usage_error() -> None:
    assert run("compile", "a.onnx", "--nope").exit_code == 2


def test_an_interrupt_leaves_no_file(
    mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nfcompile.ir.publish.shutil.copyfile", interrupt)
    result = run("compile", mlp, "-o", tmp_path / "out.onnx")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_imports_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys; from nfcompile.cli import app\n"
        "try: app(['compile', '--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'torch', 'onnxruntime', 'onnx', 'numpy', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--target" in done.stdout


def test_importing_the_package_is_light() -> None:
    code = "import sys, nfcompile; sys.exit(bool({'torch', 'onnx', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tune_measures_and_its_json_holds_the_times(
    mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NFCOMPILE_CACHE_DIR", str(tmp_path))
    out = tmp_path / "out.onnx"
    result = run(
        "compile", mlp, "-o", out, "--tune", "--tune-seconds", 30, "--threads", 1, "--json", "-"
    )
    assert result.exit_code == 0, result.stderr
    (decision, *_) = json.loads(result.stdout)["decisions"]
    assert {"dense", "unstructured"} <= decision["measured_us"].keys()
    assert "note: " in result.stderr and "distinct layers: " in result.stderr
    layers = json.loads(run("explain", out, "--json", "-").stdout)["layers"]
    assert layers[0]["measured_us"] == decision["measured_us"]
    assert layers[0]["reason"] == decision["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tune", "--tune-seconds", "-3"], "tune-seconds must be a number above 0, got -3"),
        (["--tune-seconds", "3"], "tune-seconds needs tune"),
    ],
)
def test_a_wrong_budget_is_one_line(
    options: list[str], words: str, mlp: Path, tmp_path: Path
) -> None:
    result = run("compile", mlp, "-o", tmp_path / "out.onnx", *options)
    assert result.exit_code == 2
    assert words in one_line(result)
