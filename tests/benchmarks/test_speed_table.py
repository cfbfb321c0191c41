"""The README's table of speed: means, worst and best of the ratios of a suite's file."""

import json
from pathlib import Path
from typing import Any

import pytest
from speed_table import main

ENGINES = {
    "ort": {"precision": "fp32", "ours": False},
    "ort-int8": {"precision": "int8", "ours": False},
    "scipy": {"precision": "fp32", "ours": False},
    "nfcompile": {"precision": "fp32", "ours": True},
    "nfcompile-bf16": {"precision": "bf16", "ours": True},
    "nfcompile-general": {"precision": "fp32", "ours": True},
}


def cells(case: str, batch: int, **median_us: float | None) -> list[dict[str, Any]]:
    return [
        {
            "case": case,
            "threads": 1,
            "batch": batch,
            "contender": name.replace("_", "-"),
            "timing": None if us is None else {"median_us": us, "p95_us": us, "spread": 0.0},
        }
        for name, us in median_us.items()
    ]


def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], *made: Any) -> list[str]:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"engines": ENGINES, "cells": [c for item in made for c in item]}))
    main([str(path)])
    return capsys.readouterr().out.splitlines()[2:]


def test_ratios_are_to_dense_to_the_best_fp32_peer_and_to_the_best_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = cells("mlp", 1, ort=80, scipy=40, ort_int8=10, nfcompile=10, nfcompile_bf16=20)
    second = cells("mlp", 16, ort=20, scipy=90, ort_int8=16, nfcompile=10, nfcompile_bf16=2)
    assert printed(tmp_path, capsys, first, second) == [
        "| mlp | 1 | 4.0x (2.0 … 8.0) | 2.8x (2.0 … 4.0) | 2.0x (0.5 … 8.0) |"
    ]


def test_the_general_kernel_stands_where_equal_rows_would_be_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = cells(
        "graph", 1, ort=None, scipy=600, nfcompile=1, nfcompile_bf16=1, nfcompile_general=2
    )
    assert printed(tmp_path, capsys, made) == ["| graph | 1 | – | 300x (300 … 300) | – |"]
