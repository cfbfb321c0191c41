"""The driver: front end, reference run, pipeline, write, verify."""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from nfcompile.compare import Tolerance, VerifyReport
from nfcompile.cost.costed_pass import CostedPass
from nfcompile.errors import InputError, UnsupportedModelError, VerificationError
from nfcompile.frontend.dispatch import load_source
from nfcompile.frontend.onnx_file import MIN_OPSET, opset
from nfcompile.ir.chain import stored_precision
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.half_floats import has_half_floats
from nfcompile.ir.pipeline import parse_pipeline, run_pipeline
from nfcompile.ir.publish import check_output, publish, stage, staging_folder
from nfcompile.ir.remarks import (
    Decision,
    Remark,
    add_remark,
    compiled_for,
    decisions,
    remarks,
    set_decisions,
    write_metadata,
)
from nfcompile.ir.schemas import DOMAIN, register_schemas
from nfcompile.ir.source import Source
from nfcompile.ir.summary import Summary, summarize
from nfcompile.passes import PASSES, default_pipeline
from nfcompile.runtime.cuda import require_cuda
from nfcompile.runtime.reference import CROSS_NOTE, Reference
from nfcompile.runtime.trials import Sampling, run_original
from nfcompile.target import Target
from nfcompile.tuning import (
    TUNE_SECONDS,
    Tuner,
    TuningCache,
    cache_folder,
    check_seconds,
    machine,
)
from nfcompile.version import __version__

__all__ = ["Compiled", "Options", "compile_model"]

AfterPass = Callable[[str, ir.Model, float], None]


@dataclass(frozen=True)
class Options:
    """Everything about a compilation but the model.

    Attributes:
        target: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are estimated for; all cores if None.
        precision: `fp32` or `bf16`: what sparse weights are stored as and computed in.
        passes: Pipeline text; the target's default if None.
        weights: State for a referenced module, as for `nfcompile.frontend.weights.load_weights`.
        input_shapes: Shapes of random example inputs for a referenced module.
        dynamic_shapes: The dimensions of a module's inputs that may vary.
        tolerance: How far outputs may differ.
        sampling: On what the result is verified.
        op_libraries: Libraries of the user's own operators, needed to run the model.
        tune: Whether layers are measured on this machine instead of estimated.
        tune_seconds: Seconds that measuring may take; 60 if None.
        cross: Whether target `ort-cuda` is that of another machine: what is compiled runs on this
            CPU to be verified.
        progress: Called with a few words at each step.
        measuring: Called with what is measured, the seconds spent on it so far, and those allowed.
        after_pass: Called with name, model and seconds after each pass.
    """

    target: str = "ort-cpu"
    threads: int | None = None
    precision: str = "fp32"
    passes: str | None = None
    weights: Path | None = None
    input_shapes: Sequence[tuple[int, ...] | str] | None = None
    dynamic_shapes: Any = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    sampling: Sampling = field(default_factory=Sampling)
    op_libraries: Sequence[str] = ()
    tune: bool = False
    tune_seconds: float | None = None
    cross: bool = False
    progress: Callable[[str], None] = lambda step: None
    measuring: Callable[[str, float, float], None] = lambda what, spent, budget: None
    after_pass: AfterPass | None = None


@dataclass(frozen=True, repr=False)
class Compiled:
    """A compiled and verified model.

    Attributes:
        model: The graph, for reading; `save` writes the file that was verified.
        source: What it was made from.
        before: What the model was made of.
        after: What it is made of now.
        report: The comparison with the original.
    """

    model: ir.Model
    source: Source
    before: Summary
    after: Summary
    report: VerifyReport
    _staging: "tempfile.TemporaryDirectory[str]"

    def __repr__(self) -> str:
        encodings = dict(Counter(item.encoding for item in self.decisions))
        return f"<Compiled {self.source.name}: {encodings}, {self.after.nbytes:,} bytes>"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """How each linear layer is stored and run, with the reason."""
        return decisions(self.model)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What passes did or refused to do, and why."""
        return remarks(self.model)

    def save(self, path: str | Path) -> None:
        """Writes the verified model to `path`, with external data beside it if it is over 2 GiB.

        Raises:
            InputError: If it cannot be written there; nothing is left behind then.
        """
        check_output(Path(path), self.source.files)
        publish(Path(self._staging.name) / _STAGED, Path(path))


_STAGED = "compiled.onnx"


def compile_model(src: Any, example_inputs: Any = None, options: Options | None = None) -> Compiled:
    """Compiles `src` and verifies the result against it. See `nfcompile.compile`."""
    options = options or Options()
    register_schemas()
    target = Target.host(options.target, options.threads, options.precision)
    if options.cross and target.name != "ort-cuda":
        raise InputError(f"cross goes with target ort-cuda only, got target {target.name}")
    text = options.passes
    if text is None:
        text = default_pipeline(target.name, target.threads, target.precision)
    tuner = _tuner(options, target)
    passes = [(name, _timed_by(tuner, step)) for name, step in parse_pipeline(text, PASSES)]

    on_cuda = target.name == "ort-cuda" and not options.cross
    if on_cuda:
        require_cuda("target ort-cuda", "with --cross (cross=True) it may be another machine's")
    options.progress("reading the model")
    source = load_source(
        src,
        example_inputs,
        weights=options.weights,
        input_shapes=options.input_shapes,
        dynamic_shapes=options.dynamic_shapes,
    )
    model = source.model
    before = summarize(model)
    for note in source.notes:
        add_remark(model, Remark("frontend", "note", source.name, note))

    staging = staging_folder()
    options.progress("running the original")
    reference = Reference(source, Path(staging.name), options.op_libraries, cuda=on_cuda)
    trials = run_original(source, reference, options.sampling)
    for note in (*reference.notes, *trials.notes, *([CROSS_NOTE] if options.cross else [])):
        add_remark(model, Remark("compiler", "note", source.name, note))

    options.progress("compiling")
    if before_for := _compiled_before_for(model):
        _leave_as_is(model, source.name, before_for, target.name)
    elif opset(model) < MIN_OPSET:
        reason = (
            f"left as it is: it uses opset {opset(model)}, the oldest that passes know is "
            f"{MIN_OPSET} (onnx.version_converter brings it up)"
        )
        add_remark(model, Remark("compiler", "note", source.name, reason))
    else:
        run_pipeline(model, passes, after=options.after_pass)
        for note in tuner.notes() if tuner is not None else ():
            add_remark(model, Remark("tune", "note", source.name, note))
        _tell_what_stayed_encoded(model)
        write_metadata(
            model,
            version=__version__,
            target=target.name,
            precision=stored_precision(model),
        )

    options.progress("verifying")
    staged = Path(staging.name) / _STAGED
    stage(model, staged)
    runner = reference.load_compiled(model, staged)
    tolerance = dataclasses.replace(
        options.tolerance, half=stored_precision(model) != "fp32" or has_half_floats(model)
    )
    report = trials.compare(reference, runner, tolerance)
    if not report.passed:
        raise VerificationError(_failure(source, report))
    return Compiled(model, source, before, summarize(model), report, staging)


def _tuner(options: Options, target: Target) -> Tuner | None:
    """What measures layers, if that is asked for."""
    if not options.tune:
        if options.tune_seconds is not None:
            raise InputError("tune-seconds needs tune, which measures layers instead of estimating")
        return None
    if target.name == "ort-cuda":
        raise InputError("tune measures layers on the CPU: it does not go with target ort-cuda")
    seconds = TUNE_SECONDS if options.tune_seconds is None else options.tune_seconds
    check_seconds(seconds)
    return Tuner(seconds, TuningCache(cache_folder(), machine(target)), options.measuring)


def _timed_by(tuner: Tuner | None, step: ir.passes.PassBase) -> ir.passes.PassBase:
    if tuner is None or not isinstance(step, CostedPass):
        return step
    return dataclasses.replace(step, timer=tuner)


def _compiled_before_for(model: ir.Model) -> str:
    """The target that `model` was compiled for before; empty if it was not."""
    if known := compiled_for(model):
        return known
    ours = any(
        node.domain == DOMAIN and node.op_type != "CsrToDense"
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
    )
    return "ort-cpu" if ours else ""


def _leave_as_is(model: ir.Model, name: str, known: str, target: str) -> None:
    if known != target:
        raise UnsupportedModelError(
            f"{name} is compiled for {known} already: compile the original for {target}"
        )
    add_remark(
        model, Remark("compiler", "note", name, "compiled by nfcompile already: left as it is")
    )


def _tell_what_stayed_encoded(model: ir.Model) -> None:
    """Corrects decisions that a pipeline without a legalize pass did not carry out."""
    left = {
        name
        for name, value in model.graph.initializers.items()
        if isinstance(value.const_value, EncodedTensor) and value.uses()
    }
    reason = "the pipeline has no legalize pass, so it is written dense"
    set_decisions(
        model,
        [
            dataclasses.replace(
                item, encoding="dense", bytes_encoded=item.bytes_dense, reason=reason
            )
            if item.weight in left
            else item
            for item in decisions(model)
        ],
    )


def _failure(source: Source, report: VerifyReport) -> str:
    worst = max(report.outputs, key=lambda item: (item.mismatched, not item.agrees))
    difference = (
        f"differs in {worst.mismatched} of {worst.size} elements, by up to {worst.max_abs:.3g}"
        if worst.mismatched
        else f"gives the same answer in {worst.agreed} of {worst.answers} cases only, "
        f"not in a share of {worst.min_agreement:g}"
    )
    return (
        f"{source.name} compiled gives other results, so nothing was written: "
        f"output {worst.name} {difference}"
    )
