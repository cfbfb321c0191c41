"""The page says what was measured, marks what is lost, and why cells are empty."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.bench.case import Case
from nfcompile.bench.contenders import Contender
from nfcompile.bench.measurement import Cell
from nfcompile.bench.report import Results
from nfcompile.bench.roofline import Level, Roofline
from nfcompile.bench.statistics import Timing
from nfcompile.bench.suite import Plan

ENVIRONMENT = {
    "cpu": "A CPU", "cores": 2, "kernels": "avx2", "packages": {"torch": "2"},
    "peers": {"deepsparse": "1.8.0"},
}  # fmt: skip
ROOFLINE = Roofline(1, {"f32-avx2": 5e10}, (Level("L1", 32_768, 2e11), Level("DRAM", None, 1e10)))
NAMES = {"ort": "fp32", "ort-int8": "int8", "nfcompile": "fp32", "deepsparse": "fp32"}


def contender(name: str, precision: str) -> Contender:
    ours = name.startswith("nfcompile")

    def load(path: Path, threads: int) -> Any:
        raise AssertionError

    return Contender(name, precision, ours, lambda n, f, t: n.graph, load)


def results(cells: list[Cell], complete: bool = True) -> Results:
    inputs = {"": lambda batch: {"x": np.zeros((batch, 1), np.float32)}}
    case = Case("mlp-a-0.10", "one layer", lambda folder: None, inputs)  # type: ignore[arg-type, return-value]
    made = [contender(*item) for item in NAMES.items()]
    rooflines = {1: ROOFLINE}
    return Results(ENVIRONMENT, Plan(), [case], made, rooflines, cells, complete)


def cell(name: str, us: float | None, batch: int, error: float = 0.0, reason: str = "") -> Cell:
    timing = None if us is None else Timing(us, us, 0.05)
    return Cell("mlp-a-0.10", 1, batch, name, timing, 9, us, error, reason)


CELLS = [
    cell("ort", 400.0, 1), cell("ort-int8", 50.0, 1, 0.02), cell("nfcompile", 100.0, 1),
    cell("deepsparse", None, 1, reason="not here"),
    cell("ort", 400.0, 64), cell("ort-int8", 90.0, 64, 0.03), cell("nfcompile", 500.0, 64),
    cell("deepsparse", 800.0, 64),
]  # fmt: skip


def test_a_table_has_times_best_peers_and_ratios_with_losses_marked() -> None:
    lines = results(CELLS).to_markdown().splitlines()
    start = lines.index("## mlp-a-0.10, 1 thread")
    table = [line for line in lines[start:] if line.startswith("|")]
    assert table[0] == ("| batch | ort | ort-int8 | nfcompile | deepsparse | best peer | fp32 × |")
    assert table[2].startswith("| 1 | 400 ±5% | 50.0 ±5% | 100 ±5% |  | ort (fp32), ort-int8 ")
    assert table[2].endswith("| 4.00 |")
    assert table[3].endswith("| 0.80 ✗ |")


def test_errors_of_narrow_engines_and_reasons_stand_below() -> None:
    page = results(CELLS).to_markdown()
    assert "Largest error over the largest output: ort-int8 3.0e-02." in page
    assert "- deepsparse, batch 1: not here" in page


def test_one_reason_of_several_contenders_is_told_once() -> None:
    cells = [cell(name, None, 1, reason="no file") for name in ("ort", "deepsparse")]
    assert "- ort, deepsparse: no file" in results(cells).to_markdown()


def test_the_summary_has_geometric_means_and_counts_losses() -> None:
    page = results(CELLS).to_markdown()
    assert "| mlp-a-0.10 | 1 | 1.79 | 1 |  |  | 1.79 | 0.30 ✗ |  |" in page
    assert (
        "Geometric mean over mlp-* at density 0.10, 1 thread(s): 1.60x deepsparse and 1.79x ort."
        in page
    )


def test_the_page_names_the_machine_its_roofline_and_versions() -> None:
    page = results(CELLS).to_markdown()
    assert "A CPU, 2 cores, kernels avx2; torch 2, deepsparse (peers) 1.8.0." in page
    assert "f32-avx2 50 GFLOP/s; read L1 200 GB/s, DRAM 10 GB/s." in page


def test_a_busy_machine_is_told_and_summed_up_by_the_fastest_calls() -> None:
    assert "fastest" not in results(CELLS).to_markdown()
    noisy = dataclasses.replace(CELLS[0], timing=Timing(400.0, 900.0, 0.9), best_us=300.0)
    page = results([noisy, *CELLS[1:4]]).to_markdown()
    assert "other work ran on the machine" in page
    assert page.count("| mlp-a-0.10 | 1 | 4.00 | 0 |") == 1
    assert page.count("| mlp-a-0.10 | 1 | 3.00 | 0 |") == 1


def test_an_interrupted_run_says_so() -> None:
    assert "interrupted" not in results(CELLS).to_markdown()
    assert "The run was interrupted" in results([], complete=False).to_markdown()


def test_json_holds_everything() -> None:
    data = json.loads(json.dumps(results(CELLS).to_json()))
    assert data["complete"] is True
    assert data["cells"][1]["timing"]["median_us"] == 50.0
    assert data["cells"][3]["reason"] == "not here"
    assert data["engines"]["nfcompile"] == {"precision": "fp32", "ours": True}
    assert data["roofline"][0]["peaks"] == {"f32-avx2": 5e10}
    assert data["cases"] == {"mlp-a-0.10": "one layer"}
    assert data["plan"]["batches"] == [1, 7, 16, 64, 256]
