"""Prints the README's table of speed from files that the suite wrote.

    nfcompile bench --suite cpu --json out/suite.json
    python benchmarks/speed_table.py out/suite.json [more.json ...]

Every cell: the geometric mean over batches, in brackets the worst and the best batch.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nfcompile.bench.contenders import REFERENCE
from nfcompile.bench.measurement import Cell
from nfcompile.bench.ratios import OURS, OURS_NARROW, Row, geometric_mean, rows_of
from nfcompile.bench.statistics import Timing

GENERAL = "nfcompile-general"
"""Where a case has it, fp32 columns are its: the network as it stands, no equal rows merged."""

HEAD = (
    "| network | threads | fp32 against dense | fp32 against the best fp32 peer "
    "| bf16 against the best peer of any precision |"
)


def main(paths: Sequence[str]) -> None:
    """Reads the files and prints the table."""
    cells: list[Cell] = []
    peers: dict[str, str] = {}
    for path in paths:
        data = json.loads(Path(path).read_text())
        cells += [cell_of(item) for item in data["cells"]]
        engines = data["engines"].items()
        peers |= {name: item["precision"] for name, item in engines if not item["ours"]}
    print("\n".join(table(rows_of(cells, peers))))


def cell_of(item: dict[str, Any]) -> Cell:
    """A cell as the suite writes it."""
    timing = None if item["timing"] is None else Timing(**item["timing"])
    return Cell(**{**item, "timing": timing})


def table(rows: Sequence[Row]) -> Iterable[str]:
    """Lines of Markdown, one per case and number of threads."""
    yield HEAD
    yield "|---" * 5 + "|"
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.threads), []).append(row)
    for (case, threads), own in groups.items():
        merges = any(row.time(GENERAL) for row in own)
        ours = GENERAL if merges else OURS
        columns = (
            [row.ratio(ours, REFERENCE) for row in own],
            [row.ratio(ours, row.best_peer("fp32")) for row in own],
            [None if merges else row.ratio(OURS_NARROW, row.best_peer()) for row in own],
        )
        yield f"| {case} | {threads} | {' | '.join(map(span, columns))} |"


def span(ratios: Sequence[float | None]) -> str:
    """`6.2x (5.3 … 9.0)`; a dash where nothing was timed."""
    mean = geometric_mean(ratios)
    present = [value for value in ratios if value is not None]
    if mean is None:
        return "–"
    return f"{number(mean)}x ({number(min(present))} … {number(max(present))})"


def number(value: float) -> str:
    """Two digits, or three from 100 on."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
