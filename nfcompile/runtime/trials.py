"""What the original gives on the inputs that a compiled model is compared on.

Real samples, if the user has any; else his example inputs, and random ones where those can mean
something.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from nfcompile.compare import (
    Tolerance,
    VerifyReport,
    compare,
    moved_by_optimizer,
)
from nfcompile.errors import InputError, NfcompileError
from nfcompile.ir.source import Arrays, Source
from nfcompile.runtime.engine import Runner
from nfcompile.runtime.lengths import layouts
from nfcompile.runtime.real_samples import cut_into_batches
from nfcompile.runtime.reference import Reference
from nfcompile.runtime.sampling import check_inputs, sample_inputs

__all__ = ["Sampling", "Trials", "run_original", "sample_sizes", "sampled_runs"]

Run = tuple[Arrays, dict[str, Any]]


@dataclass(frozen=True)
class Sampling:
    """On what models are compared.

    Attributes:
        samples: Number of inputs, if there are no real samples.
        seed: Seed of random ones.
        data: Real samples by input name, and maybe `labels`: see `nfcompile.runtime.real_samples`.
        batch: Real samples per call, where the model leaves that open.

    Raises:
        InputError: If a number is out of its range.
    """

    samples: int = 3
    seed: int = 0
    data: Mapping[str, np.ndarray] | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"samples must be at least 1, got {self.samples}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, got {self.seed}")
        if self.batch is not None and self.data is None:
            raise InputError("batch goes with data only")


@dataclass(frozen=True)
class Trials:
    """Inputs that the original runs on, with what it gives.

    Attributes:
        runs: Inputs and outputs by name, per call.
        labels: Right classes per call, if they are known.
        notes: What was left out, in words.
    """

    runs: Sequence[Run]
    labels: tuple[np.ndarray, ...] | None = None
    notes: tuple[str, ...] = ()

    def compare(self, reference: Reference, runner: Runner, tolerance: Tolerance) -> VerifyReport:
        """Compares what a compiled model gives on the same inputs.

        Where it does not agree with the original as written, it may with the original as ONNX
        Runtime optimizes it, which moves results of quantized models by whole steps; a note tells.

        Args:
            reference: The original.
            runner: The compiled model, loaded by `reference`.
            tolerance: How far outputs may differ.
        """
        results = [runner.run(inputs) for inputs, _ in self.runs]
        right = [reference.comparable(outputs) for _, outputs in self.runs]
        report = compare(right, results, tolerance, self.labels)
        if report.passed:
            return report
        optimized = reference.run_optimized([inputs for inputs, _ in self.runs])
        if optimized is None:
            return report
        again = compare(optimized, results, tolerance, self.labels)
        if not again.passed:
            return report
        return dataclasses.replace(again, notes=(*again.notes, moved_by_optimizer(report)))


def sample_sizes(samples: int) -> list[int]:
    """Sizes of the open dimensions for each of `samples` samples: several, 1 among them."""
    sizes = (3, 1, 16, 2, 7)
    return [sizes[index % len(sizes)] for index in range(samples)]


def run_original(source: Source, reference: Reference, sampling: Sampling) -> Trials:
    """Runs the original on all that there is to compare on.

    Args:
        source: What the user gave.
        reference: The same, to be run; it is narrowed to what runs.
        sampling: On what to run it.

    Raises:
        InputError: If the inputs do not fit.
        UnsupportedModelError: If the original does not run.
    """
    if source.example_inputs is not None:
        check_inputs(source.model, source.example_inputs)
    while True:
        try:
            return _try_original(source, reference, sampling)
        except InputError:
            raise
        except NfcompileError:
            if not reference.narrow():
                raise


def _try_original(source: Source, reference: Reference, sampling: Sampling) -> Trials:
    rng = np.random.default_rng(sampling.seed)
    if sampling.data is not None:
        real = cut_into_batches(source.model, sampling.data, sampling.batch)
        inputs = [_completed(item, source.model, reference.model, rng) for item in real.batches]
        return Trials([(item, reference.run(item)) for item in inputs], real.labels, real.notes)
    runs: list[Run] = []
    failure: NfcompileError | None = None
    wanted = sampling.samples
    if source.example_inputs is not None:
        wanted -= 1
        example = _completed(source.example_inputs, source.model, reference.model, rng)
        try:
            runs.append((example, reference.run(example)))
        except NfcompileError as error:
            failure = error
        if not _takes_floats_only(source.model):  # random token ids mean nothing beside real ones
            wanted = 0
    try:
        runs += sampled_runs(reference.model, sample_sizes(wanted), rng, reference)
    except NfcompileError as error:
        if not runs:
            raise failure or error from error
    if not runs:
        assert failure is not None
        raise failure
    return Trials(runs)


def sampled_runs(
    model: ir.Model,
    sizes: Sequence[int],
    rng: np.random.Generator,
    runner: Runner,
    length: int | None = None,
) -> list[Run]:
    """Random inputs, with what a model gives on them; sizes that it does not take are left out.

    Args:
        model: Its inputs are sampled, in the first layout of its open dimensions that it takes.
        sizes: Lengths of the first dimension, where it is open.
        rng: Where the numbers come from.
        runner: The model, to be run.
        length: Of the other open dimensions, see `layouts`.

    Raises:
        UnsupportedModelError: If it runs on none, or random inputs cannot be made.
    """
    failure: NfcompileError | None = None
    for layout in layouts(model, length):
        runs: list[Run] = []
        for size in sizes:
            inputs = sample_inputs(model, size, rng, layout)
            try:
                runs.append((inputs, runner.run(inputs)))
            except NfcompileError as error:
                failure = failure or error
        if runs:
            return runs
    if failure is not None:
        raise failure
    return []


def _takes_floats_only(model: ir.Model) -> bool:
    return all(
        value.dtype is not None and value.dtype.is_floating_point()
        for value in model.graph.inputs
        if not value.is_initializer()
    )


def _completed(
    example: Arrays, original: ir.Model, model: ir.Model, rng: np.random.Generator
) -> Arrays:
    """Example inputs of `original`, with random ones for what `model` takes besides."""
    lengths: dict[str, int] = {}
    for value in original.graph.inputs:
        given = example.get(str(value.name))
        if isinstance(given, np.ndarray) and value.shape is not None:
            lengths.update(zip(map(str, value.shape), given.shape, strict=True))
    missing = []
    for value in model.graph.inputs:
        if value.name not in example and not value.is_initializer():
            shape = value.shape
            if shape is not None:
                shape = ir.Shape([lengths.get(str(dim), dim) for dim in shape])
            missing.append(ir.Value(name=value.name, type=value.type, shape=shape))
    if not missing:
        return example
    rest = ir.Model(ir.Graph(missing, [], nodes=[]), ir_version=model.ir_version)
    return {**sample_inputs(rest, 1, rng), **example}
