"""One case at one batch and number of threads: outputs compared, then timed, by contender."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nfcompile.bench.contenders import REFERENCE, Contender
from nfcompile.bench.field import Field, reason_of
from nfcompile.bench.statistics import Timing, summarize_samples
from nfcompile.compare import Tolerance
from nfcompile.compare import compare as compare_outputs
from nfcompile.runtime.engine import TimedCall
from nfcompile.runtime.timing import time_calls

__all__ = ["Cell", "Measurement"]

Inputs = Mapping[str, np.ndarray]

_TURN_S = 5e-3
_NARROW_LIMIT = 0.5
"""Of the relative error of narrow arithmetic: a result further off is wrong."""
_SLOW_S = 1.0
_SLOW_FACTOR = 4.0


@dataclass(frozen=True)
class Cell:
    """One contender on one case.

    Attributes:
        case: Name of the case, with the regime of its inputs if it has several.
        threads: Threads of one inference.
        batch: Length of the first dimension of the inputs.
        contender: Name of the contender.
        timing: What its calls took; None if it was not timed.
        samples: Number of calls timed.
        best_us: The fastest of them, microseconds: what other work on the machine disturbs least.
        error: Largest error over the largest output of the reference, if it ran.
        reason: Why there is no timing; empty if there is one.
    """

    case: str
    threads: int
    batch: int
    contender: str
    timing: Timing | None = None
    samples: int = 0
    best_us: float | None = None
    error: float | None = None
    reason: str = ""


class Measurement:
    """The cells of a case, threads and batch."""

    def __init__(
        self, case: str, threads: int, batch: int, contenders: Sequence[Contender],
        reasons: dict[str, str],
    ) -> None:  # fmt: skip
        self._where = case, threads, batch
        self._contenders = contenders
        self._reasons = dict(reasons)
        self._errors: dict[str, float] = {}
        self._samples: dict[str, list[float]] = {}

    def check(self, field: Field, inputs: Inputs, *, alive: bool) -> None:
        """Compares what the contenders give."""
        if field.reference is None:
            return
        try:
            right = list(field.reference.run(inputs).values())
        except Exception as error:  # an engine's own code raises anything
            self.give_up(f"no reference: {reason_of(error)}")
            return
        if alive and not right[0].any(axis=1).all():
            self.give_up("a row of these inputs dies, so they are not what they should be")
            return
        for item in self._contenders:
            if item.name not in field.runners:
                continue
            try:
                got = list(field.runners[item.name].run(inputs).values())
                self._errors[item.name], wrong = _compare_all(right, got, item.precision)
            except Exception as error:  # an engine's own code raises anything
                wrong = reason_of(error)
            if wrong:
                self._reasons[item.name] = wrong

    def time(self, field: Field, inputs: Inputs, warmup_s: float, time_s: float) -> None:
        """Times those that agree."""
        calls: dict[str, TimedCall] = {}
        first: dict[str, float] = {}
        for item in self._contenders:
            if item.name in field.runners and item.name not in self._reasons:
                try:
                    calls[item.name] = field.runners[item.name].timed(inputs)
                    first[item.name] = min(calls[item.name]() for _ in range(2)) / 1e6
                except Exception as error:  # an engine's own code raises anything
                    self._reasons[item.name] = reason_of(error)
                    calls.pop(item.name, None)
        for name, seconds in first.items():
            # It can be nobody's best peer, and would take most of the time of the run.
            if seconds > max(_SLOW_S, _SLOW_FACTOR * first.get(REFERENCE, _SLOW_S)):
                self._reasons[name] = f"not timed further: one call took {seconds:.1f} s"
                calls.pop(name, None)
        if calls:
            found = time_calls(list(calls.values()), warmup_s, time_s, turn_s=_TURN_S)
            self._samples = dict(zip(calls, found, strict=True))

    def give_up(self, reason: str) -> None:
        """No cell has a timing, for one reason."""
        self._samples = {}
        for item in self._contenders:
            self._reasons.setdefault(item.name, reason)

    def cells(self) -> Iterator[Cell]:
        """One per contender."""
        for item in self._contenders:
            samples = self._samples.get(item.name, [])
            yield Cell(
                *self._where,
                item.name,
                timing=summarize_samples(samples) if samples else None,
                samples=len(samples),
                best_us=min(samples, default=None),
                error=self._errors.get(item.name),
                reason=self._reasons.get(item.name, ""),
            )


def _compare_all(
    right: Sequence[np.ndarray], got: Sequence[np.ndarray], precision: str
) -> tuple[float, str]:
    """The largest relative error of the outputs, in their order, and what is wrong first."""
    if len(got) != len(right):
        return float("inf"), f"it has {len(got)} outputs, not {len(right)}"
    found = [_compare(*pair, precision) for pair in zip(right, got, strict=True)]
    wrong = [reason for _, reason in found if reason]
    return max(error for error, _ in found), wrong[0] if wrong else ""


def _compare(right: np.ndarray, got: np.ndarray, precision: str) -> tuple[float, str]:
    """The relative error, and what is wrong with it; empty if nothing."""
    if got.shape != right.shape:
        return float("inf"), f"its output has shape {list(got.shape)}, not {list(right.shape)}"
    scale = float(np.abs(right).max(initial=0)) or 1.0
    error = float(np.abs(got.astype(np.float64) - right).max(initial=0)) / scale
    if precision != "fp32":
        fits = error <= _NARROW_LIMIT  # and not NaN
        return error, "" if fits else f"wrong: relative error {error:.2g}"
    (output,) = compare_outputs([{"y": right}], [{"y": got}], Tolerance()).outputs
    if output.passed:
        return error, ""
    return error, (
        f"wrong: {output.mismatched} of {output.size} elements differ, relative error {error:.2g}"
    )
