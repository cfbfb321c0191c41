"""Verifies a model file against the original: same inputs, outputs compared."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from nfcompile.compare import Tolerance, VerifyReport
from nfcompile.errors import InputError, VerificationError
from nfcompile.frontend.dispatch import load_source
from nfcompile.frontend.onnx_file import read_model
from nfcompile.ir.half_floats import has_half_floats
from nfcompile.ir.publish import staging_folder
from nfcompile.ir.remarks import compiled_for, is_narrow
from nfcompile.runtime.cuda import require_cuda
from nfcompile.runtime.reference import CROSS_NOTE, Reference
from nfcompile.runtime.trials import Sampling, run_original

__all__ = ["verify_files"]


def verify_files(
    original: Any,
    compiled: Path,
    *,
    weights: Path | None = None,
    input_shapes: Sequence[tuple[int, ...] | str] | None = None,
    tolerance: Tolerance | None = None,
    sampling: Sampling | None = None,
    inputs: Mapping[str, Any] | None = None,
    op_libraries: Sequence[str] = (),
    cross: bool = False,
) -> VerifyReport:
    """Runs the original and a model on the same inputs and compares every output.

    An original that ONNX Runtime runs does so as written, and where that does not agree as it is
    optimized, which moves the results of quantized models by whole steps.

    Args:
        original: The model that is right: whatever can be compiled, see `load_source`.
        compiled: The `.onnx` file to check.
        weights: State for an original that is a reference to code.
        input_shapes: Shapes of random example inputs for one.
        tolerance: How far outputs may differ.
        sampling: On what they are compared.
        inputs: Inputs to compare on instead, by name.
        op_libraries: Libraries of the user's own operators.
        cross: Whether a model that is compiled for CUDA runs on this CPU.

    Raises:
        InputError: If an argument breaks its rule or there is no such file.
        UnsupportedModelError: If one is no model, or does not run.
        VerificationError: If the two have different inputs or outputs.
        EngineMissingError: If CUDA is needed, and is not there.
    """
    sampling = sampling or Sampling()
    source = load_source(original, weights=weights, input_shapes=input_shapes)
    model = read_model(compiled)
    on_cuda = compiled_for(model) == "ort-cuda" and not cross
    if on_cuda:
        require_cuda(str(compiled), "with --cross (cross=True) it is run on this CPU")
    _same_signature(source.model, model)
    if inputs is not None:
        if sampling.data is not None:
            raise InputError("give inputs for one call, or data of many samples, not both")
        source = dataclasses.replace(source, example_inputs=inputs)
        sampling = dataclasses.replace(sampling, samples=1)
    half = any(map(is_narrow, (source.model, model))) or has_half_floats(source.model)
    tolerance = dataclasses.replace(tolerance or Tolerance(), half=half)
    with staging_folder() as folder:
        reference = Reference(source, Path(folder), op_libraries, cuda=on_cuda)
        trials = run_original(source, reference, sampling)
        report = trials.compare(reference, reference.load_compiled(model, compiled), tolerance)
    crossed = (CROSS_NOTE,) if compiled_for(model) == "ort-cuda" and cross else ()
    notes = (*reference.notes, *trials.notes, *report.notes, *crossed)
    return dataclasses.replace(report, notes=notes)


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
