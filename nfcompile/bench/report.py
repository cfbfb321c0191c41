"""A suite's results as JSON values and as a Markdown page."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nfcompile.bench.case import Case
from nfcompile.bench.contenders import Contender
from nfcompile.bench.markdown import LOSS, head, line, ratio
from nfcompile.bench.measurement import Cell
from nfcompile.bench.ratios import OURS, OURS_NARROW, Row, rows_of
from nfcompile.bench.roofline import Roofline
from nfcompile.bench.suite import Plan
from nfcompile.bench.summary import summarize

__all__ = ["Results"]


@dataclass
class Results:
    """What a run of a suite gave, so far.

    Attributes:
        environment: What it ran on.
        plan: How it was measured.
        cases: What was to be measured.
        contenders: The columns.
        rooflines: Limits of the machine, by number of threads.
        cells: What was measured; grows during the run.
        complete: Whether the run came to its end.
        title: Of the page.
    """

    environment: Mapping[str, Any]
    plan: Plan
    cases: Sequence[Case]
    contenders: Sequence[Contender]
    rooflines: Mapping[int, Roofline]
    cells: list[Cell] = field(default_factory=list)
    complete: bool = False
    title: str = "CPU suite"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "environment": dict(self.environment),
            "plan": dataclasses.asdict(self.plan),
            "complete": self.complete,
            "cases": {case.name: case.what for case in self.cases},
            "engines": {
                item.name: {"precision": item.precision, "ours": item.ours}
                for item in self.contenders
            },
            "roofline": [item.to_json() for item in self.rooflines.values()],
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
        }

    def to_markdown(self) -> str:
        """As a page."""
        peers = {item.name: item.precision for item in self.contenders if not item.ours}
        rows = rows_of(self.cells, peers)
        parts = [f"# {self.title}", *self._conditions(), "## Summary", *summarize(rows)]
        if any(cell.timing and cell.timing.spread > _BUSY for cell in self.cells):
            fastest = [dataclasses.replace(row, fastest=True) for row in rows]
            parts += ["## Summary by the fastest calls", _BUSY_NOTE, *summarize(fastest)]
        for case in self.cases:
            # A case's rows are named by it, or by it and a regime.
            own = [row for row in rows if row.case.split(" ")[0] == case.name]
            for title, threads in dict.fromkeys((row.case, row.threads) for row in own):
                part = [row for row in own if (row.case, row.threads) == (title, threads)]
                plural = "s" if threads > 1 else ""
                parts += [f"## {title}, {threads} thread{plural}", f"{case.what}."]
                parts += self._table(part)
        return "\n\n".join(parts) + "\n"

    def _conditions(self) -> Iterable[str]:
        about = self.environment
        versions = {**about["packages"], **{f"{k} (peers)": v for k, v in about["peers"].items()}}
        yield (
            f"{about['cpu']}, {about['cores']} cores, kernels {about['kernels']}"
            + (f", engines that can be held to {held}" if (held := about.get("held_to")) else "")
            + "; "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + "."
        )
        yield (
            "Median microseconds of the whole network from row-major input to row-major output, ± "
            "the interquartile range over the median. Engines take turns in one run; outputs are "
            "compared with ONNX Runtime's fp32 first. `fp32 ×` is the best fp32 peer over "
            "nfcompile's fp32, `bf16 ×` the best peer at any precision over nfcompile's bf16: "
            f"above 1 nfcompile is faster,{LOSS} marks where it is not."
        )
        for roofline in self.rooflines.values():
            peaks = ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in roofline.peaks.items())
            reads = ", ".join(f"{i.name} {i.bandwidth / 1e9:.0f} GB/s" for i in roofline.levels)
            yield f"Measured roofline, {roofline.threads} thread(s): {peaks}; read {reads}."
        if not self.complete:
            yield "**The run was interrupted: some cells are missing.**"

    def _table(self, rows: Sequence[Row]) -> Iterable[str]:
        shown = [
            item.name
            for item in self.contenders
            if any(row.time(item.name) is not None for row in rows)
        ]
        ours = [name for name in _RATIOS if name in shown]
        ratios = [_RATIOS[name] for name in ours]
        lines = [head(["batch", *shown, "best peer", *ratios])]
        for row in rows:
            best = row.best_peer()
            fp32 = row.best_peer("fp32")
            text = fp32 or "" if best == fp32 else f"{fp32 or 'none'} (fp32), {best}"
            cells = [ratio(row.fp32 if name == OURS else row.narrow) for name in ours]
            lines.append(line([str(row.batch), *(_timing(row, n) for n in shown), text, *cells]))
        yield "\n".join(lines)
        if errors := _narrow_errors(rows, self.contenders):
            yield f"Largest error over the largest output: {errors}."
        if reasons := _reasons(rows):
            yield "\n".join(reasons)


_BUSY = 0.25
_BUSY_NOTE = (
    f"Some timings spread by more than {_BUSY:.0%}: other work ran on the machine. The fastest "
    "call of each is what that disturbs least."
)
_RATIOS = {OURS: "fp32 ×", OURS_NARROW: "bf16 ×"}


def _timing(row: Row, contender: str) -> str:
    cell = row.cells.get(contender)
    if cell is None or cell.timing is None:
        return ""
    median = cell.timing.median_us
    return f"{median:.{0 if median >= 100 else 1}f} ±{cell.timing.spread:.0%}"


def _narrow_errors(rows: Sequence[Row], contenders: Sequence[Contender]) -> str:
    told = []
    for item in contenders:
        cells = (row.cells.get(item.name) for row in rows)
        errors = [cell.error for cell in cells if cell is not None and cell.error is not None]
        if item.precision != "fp32" and errors:
            told.append(f"{item.name} {max(errors):.1e}")
    return ", ".join(told)


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Why cells are empty: a line for all contenders that say the same at the same batches."""
    batches: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, cell in row.cells.items():
            if cell.reason:
                batches.setdefault((name, cell.reason), []).append(str(row.batch))
    told: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, reason), where in batches.items():
        told.setdefault((reason, tuple(where)), []).append(name)
    return [
        f"- {', '.join(names)}"
        + ("" if len(where) == len(rows) else f", batch {', '.join(where)}")
        + f": {reason}"
        for (reason, where), names in told.items()
    ]
