"""Several files of a suite become one page."""

import json
from pathlib import Path
from typing import Any

import pytest
from speed_page import main

from nfcompile.bench.environment import describe


def written(path: Path, case: str, batch: int, ort_us: float, *, complete: bool = True) -> str:
    times = {"ort": ort_us, "nfcompile": 10.0}
    data: dict[str, Any] = {
        "environment": {**describe(1), "peers": {}},
        "complete": complete,
        "cases": {case: "what it is"},
        "engines": {name: {} for name in times},
        "roofline": [
            {
                "threads": 1,
                "peaks": {"f32-avx2": 1e11},
                "levels": [{"name": "DRAM", "capacity": None, "bandwidth": 3e10}],
            }
        ],
        "cells": [
            {
                "case": case,
                "threads": 1,
                "batch": batch,
                "contender": name,
                "timing": {"median_us": us, "p95_us": us, "spread": 0.0},
                "error": 0.0,
            }
            for name, us in times.items()
        ],
    }
    path.write_text(json.dumps(data))
    return str(path)


def test_cells_of_all_files_are_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "a.json", "ffn", 1, 40)
    second = written(tmp_path / "b.json", "ffn", 16, 90)
    third = written(tmp_path / "c.json", "tall", 1, 70)
    main([first, second, third])
    page = capsys.readouterr().out
    assert page.startswith("# CPU suite\n")
    assert "| ffn | 1 | 6.00 | 0 |" in page  # the mean of 4 and 9
    assert "| tall | 1 | 7.00 | 0 |" in page
    assert "f32-avx2 100 GFLOP/s; read DRAM 30 GB/s" in page
    assert "interrupted" not in page


def test_a_run_that_was_interrupted_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([written(tmp_path / "a.json", "bert-block-16-0.10", 1, 40, complete=False)])
    page = capsys.readouterr().out
    assert page.startswith("# Networks\n") and "**The run was interrupted" in page
