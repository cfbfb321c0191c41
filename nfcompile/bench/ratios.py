"""What the cells of a suite say: the best peer of each row, our ratios to it, their means."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nfcompile.bench.measurement import Cell

__all__ = ["OURS", "OURS_NARROW", "Row", "geometric_mean", "rows_of"]

OURS = "nfcompile"
OURS_NARROW = "nfcompile-bf16"


@dataclass(frozen=True)
class Row:
    """All contenders on one case, threads and batch.

    Attributes:
        case: Name of the case.
        threads: Threads of one inference.
        batch: Batch size.
        cells: By contender.
        peers: Precision of each contender that is not ours, by name.
        fastest: Whether ratios are of the fastest calls, instead of the medians.
    """

    case: str
    threads: int
    batch: int
    cells: Mapping[str, Cell]
    peers: Mapping[str, str] = field(default_factory=dict)
    fastest: bool = False

    def time(self, contender: str) -> float | None:
        """Its time in microseconds, if it was timed."""
        cell = self.cells.get(contender)
        if cell is None or cell.timing is None:
            return None
        return cell.best_us if self.fastest else cell.timing.median_us

    def best_peer(self, precision: str | None = None) -> str | None:
        """The fastest peer of a precision, or of any; None if none was timed."""
        timed = {
            name: us
            for name, own in self.peers.items()
            if precision in (None, own) and (us := self.time(name)) is not None
        }
        return min(timed, key=lambda name: timed[name]) if timed else None

    def ratio(self, ours: str, peer: str | None) -> float | None:
        """The peer's time over ours, above 1 where we are faster; None if one was not timed."""
        own, other = self.time(ours), None if peer is None else self.time(peer)
        return None if own is None or other is None else other / own

    @property
    def fp32(self) -> float | None:
        """Our fp32 against the best fp32 peer."""
        return self.ratio(OURS, self.best_peer("fp32"))

    @property
    def narrow(self) -> float | None:
        """Our bf16 against the best peer at any precision."""
        return self.ratio(OURS_NARROW, self.best_peer())


def rows_of(cells: Iterable[Cell], peers: Mapping[str, str]) -> list[Row]:
    """The cells by case, threads and batch, in the order in which they come.

    Args:
        cells: Of a suite.
        peers: Precision of each contender that is not ours.
    """
    found: dict[tuple[str, int, int], dict[str, Cell]] = {}
    for cell in cells:
        found.setdefault((cell.case, cell.threads, cell.batch), {})[cell.contender] = cell
    return [Row(*where, row, peers) for where, row in found.items()]


def geometric_mean(values: Sequence[float | None]) -> float | None:
    """Of the values that there are; None if there are none."""
    present = [value for value in values if value is not None]
    return math.exp(sum(map(math.log, present)) / len(present)) if present else None
