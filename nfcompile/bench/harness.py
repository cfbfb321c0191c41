"""Times models side by side in one run.

Machines are shared and clocks drift, so the models take turns: one call each per round, in an order
that alternates. Only ratios within a run count.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from nfcompile.bench.statistics import summarize_samples
from nfcompile.compare import Tolerance
from nfcompile.compare import compare as compare_outputs
from nfcompile.errors import InputError, VerificationError
from nfcompile.frontend.onnx_file import read_model
from nfcompile.runtime.engine import Runner, TimedCall, TimedRunner
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.sampling import sample_inputs

__all__ = ["Row", "compare", "time_calls", "time_runners"]

DEFAULT_BATCHES = (1, 16, 64)
_MIN_ROUNDS = 5
_FEWEST_ROUNDS = 2  # that give quartiles
_PATIENCE = 5.0
_PATIENCE_S = 10.0
_SETTLED_BY_ITSELF_US = 50e3


@dataclass(frozen=True)
class Row:
    """One model at one batch size.

    Attributes:
        model: File name, or the path where names are the same.
        batch: Length of the first dimension of the inputs.
        median_us: Median time of a call, microseconds.
        p95_us: 95th percentile, microseconds.
        spread: Interquartile range over the median.
        ratio: Median of the first model over this one's: above 1 is faster.
        samples_us: Every timing.
    """

    model: str
    batch: int
    median_us: float
    p95_us: float
    spread: float
    ratio: float
    samples_us: tuple[float, ...]


def compare(
    paths: Sequence[Path],
    batches: Sequence[int] | None = None,
    *,
    threads: int | None = None,
    warmup_s: float = 0.2,
    time_s: float = 1.0,
    op_libraries: Sequence[str] = (),
    progress: Callable[[str], None] = lambda step: None,
) -> list[Row]:
    """Times every model at every batch size in ONNX Runtime.

    Args:
        paths: Models with the same inputs and outputs; the first is the baseline.
        batches: Batch sizes: lengths of the first dimension of the inputs. By default 1, 16, 64,
            or the one size that the model fixes.
        threads: Threads of one inference; all cores if None.
        warmup_s: Seconds of untimed rounds per batch size.
        time_s: Seconds of timed calls per model and batch size.
        op_libraries: Libraries of the user's own operators.
        progress: Called with a few words at each step.

    Raises:
        InputError: If a size cannot be had because the model fixes it.
        VerificationError: If outputs differ.
    """
    if not (warmup_s >= 0 and time_s > 0):
        raise InputError(f"seconds must be positive, got warm-up {warmup_s} and time {time_s}")
    engine = OrtEngine(op_libraries)
    signature = read_model(paths[0])
    progress("loading")
    runners = [engine.load_for_timing(path, threads or 0) for path in paths]
    names = _names(paths)
    if batches is None:
        fixed = fixed_batch(signature)
        batches = DEFAULT_BATCHES if fixed is None else (fixed,)
    rows: list[Row] = []
    for batch in batches:
        _check_batch(signature, batch, paths[0])
        inputs = sample_inputs(signature, batch, np.random.default_rng(batch))
        progress(f"batch {batch}: comparing outputs")
        _check_agreement(runners, names, inputs, batch)
        progress(f"batch {batch}: timing")
        samples = time_runners(runners, inputs, warmup_s, time_s)
        timings = [summarize_samples(item) for item in samples]
        rows += [
            Row(name, batch, timing.median_us, timing.p95_us, timing.spread,
                timings[0].median_us / timing.median_us, tuple(item))
            for name, timing, item in zip(names, timings, samples, strict=True)
        ]  # fmt: skip
    return rows


def fixed_batch(model: ir.Model) -> int | None:
    """The first dimension of the model's inputs if it is the same number in all, else None."""
    firsts = {value.shape[0] for value in model.graph.inputs if value.shape}
    only = firsts.pop() if len(firsts) == 1 else None
    return only if isinstance(only, int) else None


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _check_batch(signature: ir.Model, batch: int, path: Path) -> None:
    fixed = fixed_batch(signature)
    if fixed is not None and fixed != batch:
        raise InputError(f"{path} fixes its batch to {fixed}, got batch {batch}")


def _check_agreement(
    runners: Sequence[Runner],
    names: Sequence[str],
    inputs: Mapping[str, np.ndarray],
    batch: int,
) -> None:
    reference = runners[0].run(inputs)
    for runner, name in zip(runners[1:], names[1:], strict=True):
        report = compare_outputs([reference], [runner.run(inputs)], Tolerance())
        for item in report.outputs:
            if not item.passed:
                raise VerificationError(
                    f"{name} must agree with {names[0]} to be timed: output {item.name} differs at "
                    f"batch {batch} in {item.mismatched} of {item.size} elements"
                )


def time_runners(
    runners: Sequence[TimedRunner],
    inputs: Mapping[str, np.ndarray],
    warmup_s: float,
    time_s: float,
) -> list[list[float]]:
    """Times runners of the same inputs, whose results are not compared here.

    Args:
        runners: They take turns.
        inputs: Given to each.
        warmup_s: Seconds of untimed rounds.
        time_s: Seconds of timed calls per runner.

    Returns:
        Microseconds of each call, per runner.
    """
    return time_calls([runner.timed(inputs) for runner in runners], warmup_s, time_s)


def time_calls(
    calls: Sequence[TimedCall], warmup_s: float, time_s: float, *, turn_s: float = 0.0
) -> list[list[float]]:
    """Times calls that take turns, in an order that alternates.

    With turns of some length a call is first made once untimed, so that caches and threads are its
    own again after its neighbours', as they are where nothing else runs; without, one timed call is
    a turn. There are at least 5 rounds, or 2 where 5 would take over 5 times the time, and 10 s.

    Args:
        calls: Each gives the microseconds that it took.
        warmup_s: Seconds of untimed rounds.
        time_s: Seconds of timed calls per entry of `calls`, on average.
        turn_s: Seconds that a turn lasts at least.

    Returns:
        Microseconds of each timed call, per entry of `calls`.
    """
    samples: list[list[float]] = [[] for _ in calls]
    order = list(range(len(calls)))
    start = time.perf_counter()
    while time.perf_counter() - start < warmup_s:
        for call in calls:
            call()
    budget = time_s * len(calls)
    patience = max(_PATIENCE_S, _PATIENCE * budget)
    start = time.perf_counter()
    rounds = 0
    while (spent := time.perf_counter() - start) < budget or rounds < (
        _MIN_ROUNDS if spent < patience else _FEWEST_ROUNDS
    ):
        for index in order:
            _take_turn(calls[index], samples[index], turn_s)
        order.reverse()
        rounds += 1
    return samples


def _take_turn(call: TimedCall, samples: list[float], turn_s: float) -> None:
    if turn_s and not (samples and samples[-1] > _SETTLED_BY_ITSELF_US):
        call()
    begin = time.perf_counter()
    samples.append(call())
    while time.perf_counter() - begin < turn_s:
        samples.append(call())
