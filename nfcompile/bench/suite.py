"""Runs the cases of a suite: for each case, threads and batch every contender, side by side.

Outputs are compared before anything is timed: an fp32 engine that disagrees with the reference gets
no time. The others report their error and are timed. What cannot be run is a cell with a reason.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nfcompile.bench.cases import Case
from nfcompile.bench.contenders import REFERENCE, Contender
from nfcompile.bench.harness import time_calls
from nfcompile.bench.statistics import Timing, summarize_samples
from nfcompile.compare import Tolerance
from nfcompile.compare import compare as compare_outputs
from nfcompile.errors import InputError, NfcompileError
from nfcompile.runtime.engine import Runner, TimedCall, TimedRunner
from nfcompile.runtime.scipy import ScipyEngine

__all__ = ["Cell", "Plan", "run_suite"]

Inputs = Mapping[str, np.ndarray]

_TURN_S = 5e-3
_NARROW_LIMIT = 0.5
"""Of the relative error of narrow arithmetic: a result further off is wrong."""
_SLOW_S = 1.0
_SLOW_FACTOR = 4.0


@dataclass(frozen=True)
class Plan:
    """How long and on what to measure.

    Attributes:
        batches: Batch sizes.
        threads: Numbers of threads.
        warmup_s: Seconds of untimed rounds per case, threads and batch.
        time_s: Seconds of timed calls per contender, on average.

    Raises:
        InputError: If a time is not positive.
    """

    batches: tuple[int, ...] = (1, 7, 16, 64, 256)
    threads: tuple[int, ...] = (1, 2)
    warmup_s: float = 0.2
    time_s: float = 0.5

    def __post_init__(self) -> None:
        if not (self.warmup_s >= 0 and self.time_s > 0):
            raise InputError(
                f"seconds must be positive, got warm-up {self.warmup_s} and time {self.time_s}"
            )


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
        error: Largest error over the largest output of the reference, if it ran.
        reason: Why there is no timing; empty if there is one.
    """

    case: str
    threads: int
    batch: int
    contender: str
    timing: Timing | None = None
    samples: int = 0
    error: float | None = None
    reason: str = ""


def run_suite(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    plan: Plan,
    progress: Callable[[str], None] = lambda step: None,
) -> Iterator[Cell]:
    """Yields the cells of a case, threads and batch as soon as they are measured.

    Args:
        cases: Networks and inputs.
        contenders: They take turns in each cell.
        plan: How long and on what.
        progress: Called with a few words at each step.
    """
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            progress(f"{case.name}: building")
            folder = Path(name)
            network = case.build(folder)
            able = [item for item in contenders if case.name.startswith(item.cases)]
            for threads in plan.threads:
                runners: dict[str, TimedRunner] = {}
                reasons: dict[str, str] = {}
                for item in able:
                    progress(f"{case.name}, {threads} threads: loading {item.name}")
                    try:
                        path = item.file(network, folder, threads)
                        runners[item.name] = item.load(path, threads)
                    except Exception as error:  # an engine's own code raises anything
                        reasons[item.name] = _reason(error)
                reference: Runner = runners.get(REFERENCE) or ScipyEngine().load(network.graph, 1)
                for regime, make in case.inputs.items():
                    title = f"{case.name} {regime}".strip()
                    for batch in plan.batches:
                        progress(f"{title}, {threads} threads, batch {batch}")
                        inputs = make(batch)
                        row = _Row(title, threads, batch, able, dict(reasons))
                        try:
                            row.check(runners, reference, inputs, alive=regime in case.alive)
                            row.time(runners, inputs, plan)
                        except Exception as error:  # the same
                            row.give_up(_reason(error))
                        yield from row.cells()


class _Row:
    """The cells of a case, threads and batch."""

    def __init__(
        self, case: str, threads: int, batch: int, contenders: Sequence[Contender],
        reasons: dict[str, str],
    ) -> None:  # fmt: skip
        self._where = case, threads, batch
        self._contenders = contenders
        self._reasons = reasons
        self._errors: dict[str, float] = {}
        self._samples: dict[str, list[float]] = {}

    def check(
        self, runners: Mapping[str, TimedRunner], reference: Runner, inputs: Inputs, *, alive: bool
    ) -> None:
        """Compares what the contenders give."""
        try:
            (right,) = reference.run(inputs).values()
        except Exception as error:  # an engine's own code raises anything
            self.give_up(f"no reference: {_reason(error)}")
            return
        if alive and not right.any(axis=1).all():
            self.give_up("a row of these inputs dies, so they are not what they should be")
            return
        for item in self._contenders:
            if item.name not in runners:
                continue
            try:
                (got,) = runners[item.name].run(inputs).values()
                self._errors[item.name], wrong = _compare(right, got, item.precision)
            except Exception as error:  # an engine's own code raises anything
                wrong = _reason(error)
            if wrong:
                self._reasons[item.name] = wrong

    def time(self, runners: Mapping[str, TimedRunner], inputs: Inputs, plan: Plan) -> None:
        """Times those that agree."""
        calls: dict[str, TimedCall] = {}
        first: dict[str, float] = {}
        for item in self._contenders:
            if item.name in runners and item.name not in self._reasons:
                try:
                    calls[item.name] = runners[item.name].timed(inputs)
                    first[item.name] = min(calls[item.name]() for _ in range(2)) / 1e6
                except Exception as error:  # an engine's own code raises anything
                    self._reasons[item.name] = _reason(error)
                    calls.pop(item.name, None)
        for name, seconds in first.items():
            # It can be nobody's best peer, and would take most of the time of the run.
            if seconds > max(_SLOW_S, _SLOW_FACTOR * first.get(REFERENCE, _SLOW_S)):
                self._reasons[name] = f"not timed further: one call took {seconds:.1f} s"
                calls.pop(name, None)
        if calls:
            found = time_calls(list(calls.values()), plan.warmup_s, plan.time_s, turn_s=_TURN_S)
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
                error=self._errors.get(item.name),
                reason=self._reasons.get(item.name, ""),
            )


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


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, NfcompileError):
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")
