"""The timer that the compiler gives to passes: measures within a budget, each layer once."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nfcompile.cost.measured import Measurements
from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.ir.candidates import Candidate
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target
from nfcompile.tuning.cache import TuningCache
from nfcompile.tuning.stopwatch import measure_layer

__all__ = ["TUNE_SECONDS", "Measuring", "Tuner", "check_seconds"]

TUNE_SECONDS = 60.0
"""Seconds that measuring may take in one compilation, by default."""

Measuring = Callable[[str, float, float], None]
"""Told what is being measured, the seconds spent so far, and the budget."""

_ALIKE = 1.03


class _Measure(Protocol):
    def __call__(
        self,
        dense: Candidate,
        sparse: Sequence[Candidate],
        csr: Callable[[], CsrTensor],
        batches: Sequence[int],
        target: Target,
        left_s: float,
        /,
    ) -> Mapping[Candidate, Measurements] | None: ...


class Tuner:
    """A `LayerTimer` with a budget and a memory.

    Layers of the same shape, patterns and, within 3 %, stored values are measured once.
    """

    def __init__(
        self,
        budget_s: float,
        cache: TuningCache,
        tell: Measuring = lambda what, spent, budget: None,
        *,
        measure: _Measure = measure_layer,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._budget_s = budget_s
        self._cache = cache
        self._tell = tell
        self._measure = measure
        self._clock = clock
        self._spent_s = 0.0
        self._measured: set[str] = set()
        self._known: set[str] = set()
        self._out_of_time: set[str] = set()
        self._failed: set[str] = set()

    def __call__(
        self,
        dense: Candidate,
        sparse: Sequence[Candidate],
        csr: Callable[[], CsrTensor],
        batches: Sequence[int],
        target: Target,
    ) -> Mapping[Candidate, Measurements] | None:
        """Measures a layer, unless it is known, does not run, or the budget is used up."""
        layer = _text(dense, sparse, batches)
        times = self._cache.get(layer)
        if times is not None and _fits(times, batches):
            self._known.add(layer)
            return {item: times[item.pattern] for item in (dense, *sparse) if item.pattern in times}
        if layer in self._failed or layer in self._out_of_time:
            return None
        left_s = self._budget_s - self._spent_s
        if left_s <= 0:
            self._out_of_time.add(layer)
            return None
        rows, columns = dense.shape
        what = ", ".join(item.pattern for item in (dense, *sparse))
        self._tell(f"measuring {rows}x{columns}: {what}", self._spent_s, self._budget_s)
        begin = self._clock()
        try:
            found = self._measure(dense, sparse, csr, batches, target, left_s)
        except UnsupportedModelError:
            self._failed.add(layer)
            return None
        finally:
            self._spent_s += self._clock() - begin
            self._tell("compiling", self._spent_s, self._budget_s)
        if found is None:
            self._out_of_time.add(layer)
            return None
        self._measured.add(layer)
        self._cache.add(layer, {item.pattern: times for item, times in found.items()})
        return found

    def notes(self) -> list[str]:
        """What was measured and what was not, in words that travel in the model."""
        known = len(self._known - self._measured)
        said = [
            f"distinct layers: {len(self._measured)} measured in {self._spent_s:.1f} s, "
            f"{known} known from before"
        ]
        if self._out_of_time:
            said.append(
                f"distinct layers left to estimates: {len(self._out_of_time)}, since the "
                f"{self._budget_s:g} s of --tune-seconds do not do; what is measured is kept, so "
                "that another run goes on from there"
            )
        if self._failed:
            said.append(
                f"distinct layers left to estimates: {len(self._failed)}, which are too large to "
                "be measured, or do not run alone"
            )
        return said + self._cache.notes


def check_seconds(seconds: float) -> None:
    """Raises InputError unless `seconds` can be a budget."""
    if not 0 < seconds < math.inf:
        raise InputError(f"tune-seconds must be a number above 0, got {seconds:g}")


def _text(dense: Candidate, sparse: Sequence[Candidate], batches: Sequence[int]) -> str:
    rows, columns = dense.shape
    patterns = [
        f"{item.pattern}{' regular' if item.regular else ''} ~{_about(item.stored)}"
        for item in sparse
    ]
    return f"{rows}x{columns} at {','.join(map(str, batches))}: " + ", ".join(["dense", *patterns])


def _about(stored: int) -> int:
    """`stored`, or what all counts within about 3 % of it share."""
    return round(_ALIKE ** round(math.log(max(stored, 1), _ALIKE)))


def _fits(times: Mapping[str, Measurements], batches: Sequence[int]) -> bool:
    return "dense" in times and all(len(of) == len(batches) for of in times.values())
