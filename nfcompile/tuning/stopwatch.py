"""Times the candidates of one layer in turns, after a look at whether they compute the same."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from nfcompile.compare import Tolerance, compare
from nfcompile.cost.measured import Measurement, Measurements
from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.candidates import Candidate
from nfcompile.ir.publish import staging_folder
from nfcompile.runtime.ort import OrtEngine, OrtRunner
from nfcompile.runtime.timing import time_calls
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target
from nfcompile.tuning.layer_model import repeats, write_layer

__all__ = ["measure_layer", "summarize"]

_TIME_S = 0.06
_WARMUP_S = 0.01
_TURN_S = 0.004
_FEWEST_ROUNDS = 5
_PARTS = 5
_LEAST_NOISE = 0.01
"""A share: what medians of a quiet machine differ by from one process to the next at least."""


def measure_layer(
    dense: Candidate,
    sparse: Sequence[Candidate],
    csr: Callable[[], CsrTensor],
    batches: Sequence[int],
    target: Target,
    left_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Mapping[Candidate, Measurements] | None:
    """Times of one layer by candidate, as a `LayerTimer` gives them; None if time is short.

    Args:
        dense: The dense encoding.
        sparse: The others. One that gives other results is left out.
        csr: Gives the weight's non-zeros.
        batches: Batch sizes.
        target: Where the model will run.
        left_s: Seconds that this may take.
        clock: Tells seconds.

    Raises:
        UnsupportedModelError: If the layer cannot be timed, whatever the time.
    """
    until = clock() + left_s
    given = csr()
    count = repeats(given)
    weight = given.numpy()
    with staging_folder() as folder:
        runners: dict[Candidate, OrtRunner] = {}
        for index, item in enumerate((dense, *sparse)):
            path = Path(folder) / f"{index}.onnx"
            write_layer(path, item, weight, count, target)
            try:
                runners[item] = OrtEngine().load_for_timing(path, target.threads)
            except UnsupportedModelError:
                if item is dense:
                    raise
            if clock() > until:
                return None
    found: dict[Candidate, list[Measurement]] = {}
    for batch in batches:
        inputs = {"x": _sample(batch, dense.shape[1])}
        if not found:
            found = {item: [] for item in _that_agree(runners, dense, inputs, target)}
        calls = [runners[item].timed(inputs) for item in found]
        once_s = sum(call() for call in calls) / 1e6
        least_s = max(_FEWEST_ROUNDS * once_s, _TIME_S * len(calls))
        if clock() + _WARMUP_S + least_s > until:
            return None
        samples = time_calls(calls, _WARMUP_S, _TIME_S, turn_s=_TURN_S)
        for times, of in zip(found.values(), samples, strict=True):
            times.append(summarize(of, count))
    return {item: tuple(times) for item, times in found.items()}


def summarize(samples_us: Sequence[float], count: int = 1) -> Measurement:
    """The median of calls that apply a layer `count` times, per layer, and its noise.

    The run is cut into five parts in time. Medians of neighbouring calls hardly differ, those of
    the parts do as the machine's load does: their interquartile range is about twice the standard
    error of the whole run's median, and one part that was disturbed does not count.
    """
    parts = [part for part in np.array_split(np.asarray(samples_us), _PARTS) if part.size]
    medians = [float(np.median(part)) for part in parts]
    median = statistics.median(medians)
    low, high = np.quantile(medians, [0.25, 0.75])
    noise = max(float(high - low), _LEAST_NOISE * median)
    return Measurement(median / count, noise / count)


def _that_agree(
    runners: Mapping[Candidate, OrtRunner],
    dense: Candidate,
    inputs: Mapping[str, np.ndarray],
    target: Target,
) -> list[Candidate]:
    """The candidates that compute what the dense one does; it comes first."""
    right = runners[dense].run(inputs)
    tolerance = Tolerance(half=target.precision != "fp32")
    return [
        item
        for item, runner in runners.items()
        if item is dense or compare([right], [runner.run(inputs)], tolerance).passed
    ]


def _sample(batch: int, features: int) -> np.ndarray:
    rng = np.random.default_rng(batch)
    return rng.standard_normal((batch, features), np.float32)
