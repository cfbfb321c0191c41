"""The driver: front end, reference run, pipeline, write, verify."""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from nfcompile.compare import (
    Tolerance,
    VerifyReport,
    check_sampling,
    compare,
    sample_sizes,
)
from nfcompile.cost.costed_pass import CostedPass
from nfcompile.errors import (
    InputError,
    NfcompileError,
    UnsupportedModelError,
    VerificationError,
)
from nfcompile.frontend.dispatch import load_source
from nfcompile.ir.chain import computes_in_bf16
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.pipeline import parse_pipeline, run_pipeline
from nfcompile.ir.publish import check_output, publish, stage, staging_folder
from nfcompile.ir.remarks import (
    Decision,
    Remark,
    add_remark,
    decisions,
    remarks,
    set_decisions,
    write_metadata,
)
from nfcompile.ir.schemas import DOMAIN, register_schemas
from nfcompile.ir.source import Arrays, Source
from nfcompile.ir.summary import Summary, summarize
from nfcompile.passes import PASSES, default_pipeline
from nfcompile.runtime.reference import Reference
from nfcompile.runtime.sampling import check_inputs, sample_inputs
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
        target: `ort-cpu` or `portable`.
        threads: Threads per inference that costs are estimated for; all cores if None.
        precision: `fp32` or `bf16`: what sparse weights are stored as and computed in.
        passes: Pipeline text; the target's default if None.
        weights: State for a referenced module: `.safetensors` or a state_dict.
        input_shapes: Shapes of random example inputs for a referenced module.
        dynamic_shapes: The dimensions of a module's inputs that may vary.
        tolerance: How far outputs may differ.
        samples: Number of inputs to verify on.
        seed: Seed of random inputs.
        op_libraries: Libraries of the user's own operators, needed to run the model.
        tune: Whether layers are measured on this machine instead of estimated.
        tune_seconds: Seconds that measuring may take; 60 if None.
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
    samples: int = 3
    seed: int = 0
    op_libraries: Sequence[str] = ()
    tune: bool = False
    tune_seconds: float | None = None
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
    check_sampling(options.samples, options.seed)
    register_schemas()
    target = Target.host(options.target, options.threads, options.precision)
    text = options.passes
    if text is None:
        text = default_pipeline(target.name, target.threads, target.precision)
    tuner = _tuner(options, target)
    passes = [(name, _timed_by(tuner, step)) for name, step in parse_pipeline(text, PASSES)]

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
    reference = Reference(source, Path(staging.name), options.op_libraries)
    expected = _run_original(source, reference, options)
    for note in reference.notes:
        add_remark(model, Remark("compiler", "note", source.name, note))

    options.progress("compiling")
    if compiled_for := _compiled_for(model):
        _leave_as_is(model, source.name, compiled_for, target.name)
    else:
        run_pipeline(model, passes, after=options.after_pass)
        for note in tuner.notes() if tuner is not None else ():
            add_remark(model, Remark("tune", "note", source.name, note))
        _tell_what_stayed_encoded(model)
        precision = "bf16" if computes_in_bf16(model) else "fp32"
        write_metadata(model, version=__version__, target=target.name, precision=precision)

    options.progress("verifying")
    staged = Path(staging.name) / _STAGED
    stage(model, staged)
    runner = reference.load_compiled(model, staged)
    results = [runner.run(item) for item, _ in expected]
    right = [reference.comparable(outputs) for _, outputs in expected]
    tolerance = dataclasses.replace(options.tolerance, half=computes_in_bf16(model))
    report = compare(right, results, tolerance)
    if not report.passed:
        raise VerificationError(_failure(source, report))
    return Compiled(model, source, before, summarize(model), report, staging)


def _tuner(options: Options, target: Target) -> Tuner | None:
    """What measures layers, if that is asked for."""
    if not options.tune:
        if options.tune_seconds is not None:
            raise InputError("tune-seconds needs tune, which measures layers instead of estimating")
        return None
    seconds = TUNE_SECONDS if options.tune_seconds is None else options.tune_seconds
    check_seconds(seconds)
    return Tuner(seconds, TuningCache(cache_folder(), machine(target)), options.measuring)


def _timed_by(tuner: Tuner | None, step: ir.passes.PassBase) -> ir.passes.PassBase:
    if tuner is None or not isinstance(step, CostedPass):
        return step
    return dataclasses.replace(step, timer=tuner)


def _run_original(
    source: Source, reference: Reference, options: Options
) -> list[tuple[Arrays, Arrays]]:
    """Inputs that the original runs on, with its outputs."""
    while True:
        try:
            pairs = [(item, reference.run(item)) for item in _inputs(source, reference, options)]
            error = reference.error
        except UnsupportedModelError as unsampled:
            pairs, error = [], unsampled
        expected: list[tuple[Arrays, Arrays]] = [
            (item, outputs) for item, outputs in pairs if outputs is not None
        ]
        if expected:
            return expected
        if not reference.narrow():
            raise error or NfcompileError(f"{source.name} does not run")


def _inputs(source: Source, reference: Reference, options: Options) -> list[Arrays]:
    """The user's example inputs first, then random ones where those can mean something."""
    inputs: list[Arrays] = []
    rng = np.random.default_rng(options.seed)
    if source.example_inputs is not None:
        check_inputs(source.model, source.example_inputs)
        inputs.append(_completed(source.example_inputs, source.model, reference.model, rng))
        if not all(
            value.dtype is not None and value.dtype.is_floating_point()
            for value in source.model.graph.inputs
            if not value.is_initializer()
        ):
            return inputs  # random token ids mean nothing beside real ones
    try:
        for size in sample_sizes(options.samples - len(inputs)):
            inputs.append(sample_inputs(reference.model, size, rng))
    except UnsupportedModelError:
        if not inputs:
            raise
    return inputs


def _completed(
    example: Arrays, original: ir.Model, model: ir.Model, rng: np.random.Generator
) -> Arrays:
    """Example inputs of `original`, with random ones for what `model` takes besides."""
    lengths: dict[str, int] = {}
    for value in original.graph.inputs:
        given = example.get(str(value.name))
        if given is not None and value.shape is not None:
            lengths.update(zip(map(str, value.shape), given.shape, strict=True))
    missing = []
    for value in model.graph.inputs:
        if value.name not in example and not value.is_initializer():
            shape = value.shape
            if shape is not None:
                shape = ir.Shape([lengths.get(str(dim), dim) for dim in shape])
            missing.append(ir.Value(name=value.name, type=value.type, shape=shape))
    rest = ir.Model(ir.Graph(missing, [], nodes=[]), ir_version=model.ir_version)
    return {**sample_inputs(rest, 1, rng), **example}


def _compiled_for(model: ir.Model) -> str:
    """The target that `model` was compiled for before; empty if it was not."""
    if "nfcompile.target" in model.metadata_props:
        return model.metadata_props["nfcompile.target"]
    ours = any(
        node.domain == DOMAIN and node.op_type != "CsrToDense"
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
    )
    return "ort-cpu" if ours else ""


def _leave_as_is(model: ir.Model, name: str, compiled_for: str, target: str) -> None:
    if compiled_for != target:
        raise UnsupportedModelError(
            f"{name} is compiled for {compiled_for} already: compile the original for {target}"
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
    worst = max(report.outputs, key=lambda item: item.mismatched)
    return (
        f"{source.name} compiled gives other results, so nothing was written: output {worst.name} "
        f"differs in {worst.mismatched} of {worst.size} elements, by up to {worst.max_abs:.3g}"
    )
