"""Times models side by side in one run, after checking that they agree."""

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
from nfcompile.ir.remarks import compiled_for, is_narrow
from nfcompile.runtime.engine import Runner
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.ort_cuda import OrtCudaEngine
from nfcompile.runtime.timing import time_runners
from nfcompile.runtime.trials import sampled_runs

__all__ = ["Row", "compare"]

DEFAULT_BATCHES = (1, 16, 64)


@dataclass(frozen=True)
class Row:
    """One model at one batch size.

    Attributes:
        model: File name, or the path where names are the same.
        batch: Length of the first dimension of the inputs.
        shapes: Of the inputs, by name.
        median_us: Median time of a call, microseconds.
        p95_us: 95th percentile, microseconds.
        spread: Interquartile range over the median.
        ratio: Median of the first model over this one's: above 1 is faster.
        samples_us: Every timing.
    """

    model: str
    batch: int
    shapes: dict[str, tuple[int, ...]]
    median_us: float
    p95_us: float
    spread: float
    ratio: float
    samples_us: tuple[float, ...]


def compare(
    paths: Sequence[Path],
    batches: Sequence[int] | None = None,
    *,
    length: int | None = None,
    threads: int | None = None,
    warmup_s: float = 0.2,
    time_s: float = 1.0,
    op_libraries: Sequence[str] = (),
    progress: Callable[[str], None] = lambda step: None,
) -> list[Row]:
    """Times every model at every batch size in ONNX Runtime.

    Where one is compiled for `ort-cuda` all run on CUDA, inputs and outputs on the device, and
    dense fp32 layers in TF32, as is ONNX Runtime's default.

    Args:
        paths: Models with the same inputs and outputs; the first is the baseline.
        batches: Batch sizes: lengths of the first dimension of the inputs. By default 1, 16, 64,
            or the one size that the model fixes.
        length: Of the inputs' other open dimensions, such as tokens or the sides of images; a few
            by default, each name with one of its own.
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
    if length is not None and length < 1:
        raise InputError(f"length must be at least 1, got {length}")
    models = [read_model(path) for path in paths]
    on_cuda = any(compiled_for(model) == "ort-cuda" for model in models)
    engine = OrtCudaEngine(op_libraries) if on_cuda else OrtEngine(op_libraries)
    signature, tolerance = models[0], Tolerance(half=on_cuda or any(map(is_narrow, models)))
    progress("loading")
    runners = [engine.load_for_timing(path, threads or 0) for path in paths]
    names = _names(paths)
    if batches is None:
        fixed = fixed_batch(signature)
        batches = DEFAULT_BATCHES if fixed is None else (fixed,)
    rows: list[Row] = []
    for batch in batches:
        _check_batch(signature, batch, paths[0])
        rng = np.random.default_rng(batch)
        ((inputs, _),) = sampled_runs(signature, [batch], rng, runners[0], length)
        progress(f"batch {batch}: comparing outputs")
        _check_agreement(runners, names, inputs, batch, tolerance)
        progress(f"batch {batch}: timing")
        samples = time_runners(runners, inputs, warmup_s, time_s)
        timings = [summarize_samples(item) for item in samples]
        shapes = {name: tuple(np.shape(value)) for name, value in inputs.items()}
        rows += [
            Row(name, batch, shapes, timing.median_us, timing.p95_us, timing.spread,
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
    tolerance: Tolerance,
) -> None:
    reference = runners[0].run(inputs)
    for runner, name in zip(runners[1:], names[1:], strict=True):
        outputs = runner.run(inputs)
        if len(outputs) != len(reference):
            raise VerificationError(
                f"{name} must have as many outputs as {names[0]} to be timed, {len(reference)}, "
                f"got {len(outputs)}"
            )
        if outputs.keys() != reference.keys():  # as of two exporters: then by their order
            outputs = dict(zip(reference, outputs.values(), strict=True))
        report = compare_outputs([reference], [outputs], tolerance)
        for item in report.outputs:
            if not item.passed:
                raise VerificationError(
                    f"{name} must agree with {names[0]} to be timed: output {item.name} differs at "
                    f"batch {batch} in {item.mismatched} of {item.size} elements"
                )
