"""Verifies one model file against another: same inputs, outputs compared."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from nfcompile.compare import (
    Tolerance,
    VerifyReport,
    check_sampling,
    compare,
    moved_by_optimizer,
    sample_sizes,
)
from nfcompile.errors import NfcompileError, VerificationError
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir.remarks import is_narrow
from nfcompile.runtime.ort import OrtEngine
from nfcompile.runtime.sampling import check_inputs, sample_inputs

__all__ = ["verify_files"]


def verify_files(
    reference: Path,
    compiled: Path,
    *,
    tolerance: Tolerance | None = None,
    samples: int = 3,
    seed: int = 0,
    inputs: Mapping[str, np.ndarray] | None = None,
    op_libraries: Sequence[str] = (),
) -> VerifyReport:
    """Runs both models in ONNX Runtime on the same inputs and compares every output.

    The reference runs as written, and if that does not agree as ONNX Runtime optimizes it, which
    moves the results of quantized models by whole steps.

    Args:
        reference: The model that is right.
        compiled: The model to check.
        tolerance: How far outputs may differ.
        samples: Number of inputs.
        seed: Seed of random inputs.
        inputs: Inputs to use instead of random ones.
        op_libraries: Libraries of the user's own operators.

    Raises:
        InputError: If an argument breaks its rule or there is no such file.
        UnsupportedModelError: If one is no model, or does not run.
        VerificationError: If the two have different inputs or outputs.
    """
    check_sampling(samples, seed)
    models = [read_model(path) for path in (reference, compiled)]
    _same_signature(*models)
    if inputs is not None:
        check_inputs(models[0], inputs)
    rng = np.random.default_rng(seed)
    feeds: list[Mapping[str, Any]] = (
        [inputs]
        if inputs is not None
        else [sample_inputs(models[0], size, rng) for size in sample_sizes(samples)]
    )
    engine = OrtEngine(op_libraries)
    runner = engine.load_reference(reference)
    expected: list[tuple[Mapping[str, Any], dict[str, np.ndarray]]] = []
    failure: NfcompileError | None = None
    for feed in feeds:
        try:
            expected.append((feed, runner.run(feed)))
        except NfcompileError as error:  # sizes that the original itself does not take
            failure = error
    if not expected:
        assert failure is not None
        raise failure
    results = _run(engine, compiled, expected)
    tolerance = dataclasses.replace(tolerance or Tolerance(), half=any(map(is_narrow, models)))
    report = compare([outputs for _, outputs in expected], results, tolerance)
    if report.passed:
        return report
    again = compare(_run(engine, reference, expected), results, tolerance)
    if not again.passed:
        return report
    return dataclasses.replace(again, notes=(*again.notes, moved_by_optimizer(report)))


def _run(
    engine: OrtEngine, path: Path, expected: Sequence[tuple[Mapping[str, Any], Any]]
) -> list[dict[str, Any]]:
    """Outputs of a model as ONNX Runtime optimizes it."""
    runner = engine.load(path, threads=0)
    return [runner.run(feed) for feed, _ in expected]


def _same_signature(reference: ir.Model, compiled: ir.Model) -> None:
    for what in ("inputs", "outputs"):
        names = [
            {value.name for value in getattr(model.graph, what) if not value.is_initializer()}
            for model in (reference, compiled)
        ]
        if names[0] != names[1]:
            only = [
                ", ".join(sorted(map(str, part)))
                for part in (names[0] - names[1], names[1] - names[0])
            ]
            raise VerificationError(
                f"the models have different {what}: {only[0] or 'none'} only in the first, "
                f"{only[1] or 'none'} only in the second"
            )
