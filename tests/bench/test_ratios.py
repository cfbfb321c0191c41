"""Ratios are a peer's time over ours, and their means are geometric."""

import dataclasses

import pytest

from nfcompile.bench.measurement import Cell
from nfcompile.bench.ratios import geometric_mean, rows_of
from nfcompile.bench.statistics import Timing

PEERS = {"ort": "fp32", "scipy": "fp32", "ort-int8": "int8"}


def cell(contender: str, us: float | None, batch: int = 1) -> Cell:
    timing = None if us is None else Timing(us, us, 0.0)
    return Cell("c", 1, batch, contender, timing, reason="" if timing else "broken")


def test_the_best_peer_is_the_fastest_of_its_precision() -> None:
    times = {"ort": 10.0, "scipy": 8.0, "ort-int8": 2.0, "nfcompile": 4.0, "nfcompile-bf16": 4.0}
    (row,) = rows_of([cell(*item) for item in times.items()], PEERS)
    assert (row.best_peer("fp32"), row.best_peer()) == ("scipy", "ort-int8")
    assert row.fp32 == pytest.approx(2.0)
    assert row.narrow == pytest.approx(0.5)
    assert row.ratio("nfcompile", "ort") == pytest.approx(2.5)


def test_what_was_not_timed_has_no_ratio() -> None:
    (row,) = rows_of([cell("ort", None), cell("scipy", 3.0), cell("nfcompile", None)], PEERS)
    assert row.best_peer() == "scipy"
    assert row.fp32 is None and row.narrow is None
    (row,) = rows_of([cell("ort", None), cell("nfcompile", 3.0)], PEERS)
    assert row.best_peer() is None and row.fp32 is None


def test_rows_keep_the_order_of_cells() -> None:
    rows = rows_of([cell("ort", 1.0, batch) for batch in (7, 1)], PEERS)
    assert [row.batch for row in rows] == [7, 1]


def test_the_mean_is_geometric_over_what_there_is() -> None:
    assert geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([None]) is None


def test_ratios_may_be_of_the_fastest_calls() -> None:
    cells = [
        Cell("c", 1, 1, name, Timing(10.0, 10.0, 0.0), 2, best)
        for name, best in (("ort", 9.0), ("nfcompile", 3.0))
    ]
    (row,) = rows_of(cells, PEERS)
    assert row.fp32 == pytest.approx(1.0)
    assert dataclasses.replace(row, fastest=True).fp32 == pytest.approx(3.0)
