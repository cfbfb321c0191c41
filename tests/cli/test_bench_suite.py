"""`nfcompile bench --suite` as a user sees it; what was measured survives an interruption."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nfcompile.bench import suites
from nfcompile.bench.case import Case, Network
from nfcompile.bench.measurement import Cell
from nfcompile.cli import app
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, unstructured_weight

QUICK = ["--suite", "cpu", "-w", "0", "-t", "0.001"]


def run(*args: Any) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, args)])


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path) -> Network:
        write_model(chain([unstructured_weight((16, 16), 0.5, 0)]), folder / "m.onnx")
        return Network(folder / "m.onnx", folder / "m.onnx", folder / "m.onnx")

    def inputs(batch: int) -> dict[str, np.ndarray]:
        return {"x": np.ones((batch, 16), np.float32)}

    case = Case("tiny", "one layer", build, {"": inputs})
    for name, suite in suites.SUITES.items():
        monkeypatch.setitem(suites.SUITES, name, dataclasses.replace(suite, cases=(case,)))
    monkeypatch.setattr("nfcompile.bench.roofline.caches", lambda: {"L1d": "32K"})


def test_a_suite_gives_json_and_a_page(tmp_path: Path) -> None:
    result = run(
        *QUICK, "--engines", "nfcompile,scipy", "--batch", "1,3", "--threads", "1",
        "--json", tmp_path / "s.json", "-o", tmp_path / "s.md",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    data = json.loads((tmp_path / "s.json").read_text())
    assert [(c["batch"], c["contender"]) for c in data["cells"]] == [
        (batch, name) for batch in (1, 3) for name in ("ort", "nfcompile", "scipy")
    ]
    assert all(c["timing"]["median_us"] > 0 and c["samples"] >= 5 for c in data["cells"])
    assert data["complete"]
    assert "## tiny, 1 thread" in (tmp_path / "s.md").read_text()
    assert result.stdout == ""


def test_the_page_goes_to_stdout_and_json_too_if_asked() -> None:
    options = ["--engines", "scipy", "--batch", "1", "--threads", "1"]
    assert run(*QUICK, *options).stdout.startswith("# CPU suite")
    assert json.loads(run(*QUICK, *options, "--json", "-").stdout)["complete"]


def test_each_suite_has_its_title_its_engines_and_its_batches(tmp_path: Path) -> None:
    options = ["-w", "0", "-t", "0.001", "--threads", "1", "--json", tmp_path / "s.json"]
    result = run("--suite", "networks", *options)
    assert result.stdout.startswith("# Networks")
    data = json.loads((tmp_path / "s.json").read_text())
    assert data["plan"]["batches"] == [1, 16]
    assert "deepsparse" in data["engines"] and "graphblas" not in data["engines"]


def test_an_interrupt_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> Iterator[Cell]:
        yield Cell("tiny", 1, 1, "ort", reason="none")
        raise KeyboardInterrupt

    monkeypatch.setattr("nfcompile.bench.suite.run_suite", interrupted)
    result = run(*QUICK, "--json", tmp_path / "s.json", "-o", tmp_path / "s.md")
    assert result.exit_code == 130
    data = json.loads((tmp_path / "s.json").read_text())
    assert (len(data["cells"]), data["complete"]) == (1, False)
    assert "interrupted" in (tmp_path / "s.md").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--suite", "tpu"], "unknown suite 'tpu'"),
        (["--suite", "network"], "did you mean networks?"),
        (["--suite", "cpu", "--cases", "none"], "no case begins with 'none'"),
        (["--suite", "cpu", "--engines", "none"], "unknown engine 'none'"),
        (["--suite", "cpu", "--threads", "0"], "threads must be integers above 0"),
        (["--suite", "cpu", "--isa", "sse2"], "isa must be one of avx2, avx512, got 'sse2'"),
        (["m.onnx", "--isa", "avx2"], "--isa goes with --suite only"),
        (["--suite", "cpu", "--batch", "x"], "batch must be integers above 0"),
        (["--suite", "cpu", "-t", "0"], "seconds must be positive"),
        (["--suite", "cpu", "-o", "/none/s.md"], "cannot write /none/s.md"),
        (["--suite", "cpu", "m.onnx"], "either models or --suite"),
        (["m.onnx", "--engines", "ort"], "--engines goes with --suite only"),
        (["m.onnx", "--threads", "1,2"], "threads must be one number"),
        ([], "give the models to time"),
    ],
)
def test_wrong_usage_is_told_in_one_line(args: list[str], words: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
