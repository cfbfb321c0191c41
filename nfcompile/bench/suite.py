"""Runs the cases of a suite: for each case, threads and batch every contender, side by side.

Outputs are compared before anything is timed: an fp32 engine that disagrees with the reference gets
no time. The others report their error and are timed. What cannot be run is a cell with a reason.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nfcompile.bench.case import Case
from nfcompile.bench.contenders import Contender
from nfcompile.bench.field import Field, reason_of
from nfcompile.bench.measurement import Cell, Measurement
from nfcompile.errors import InputError

__all__ = ["Plan", "run_suite"]


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
    total = sum(len(case.inputs) for case in cases) * len(plan.threads) * len(plan.batches)
    done = itertools.count(1)
    for case in cases:
        able = [item for item in contenders if case.name.startswith(item.cases)]
        with tempfile.TemporaryDirectory() as folder:
            progress(f"{case.name}: building")
            field = Field(case, able, Path(folder), progress)
            for threads in plan.threads:
                field.load(threads)
                for regime, batch in itertools.product(case.inputs, plan.batches):
                    title = f"{case.name} {regime}".strip()
                    progress(f"{next(done)} of {total}: {title}, {threads} threads, batch {batch}")
                    row = Measurement(title, threads, batch, able, field.reasons)
                    try:
                        inputs = case.inputs[regime](batch)
                        row.check(field, inputs, alive=regime in case.alive)
                        row.time(field, inputs, plan.warmup_s, plan.time_s)
                    except Exception as error:  # an engine's own code raises anything
                        row.give_up(reason_of(error))
                    yield from row.cells()
