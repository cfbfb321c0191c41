"""`nfcompile compile`: a model in, a verified model that runs sparse out."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfcompile.cli.options import (
    Atol,
    Batch,
    InputsFile,
    InputShapes,
    Json,
    MinAgreement,
    OpLibraries,
    Rtol,
    Samples,
    SamplesFile,
    Seed,
    Threads,
    Weights,
    load_inputs,
)
from nfcompile.cli.output import (
    accuracy_line,
    agreement_of,
    check_json,
    guarded,
    human_bytes,
    show_table,
    table,
    talk,
    write_json,
)
from nfcompile.cli.tuning_progress import compile_progress
from nfcompile.errors import InputError

if TYPE_CHECKING:
    import onnx_ir as ir

    from nfcompile.compiler import Compiled

__all__ = ["compile_command"]


@guarded
def compile_command(
    src: Annotated[
        str,
        typer.Argument(
            help="A .onnx or .pt2 file, or a reference package.module:callable or path.py:callable "
            "that returns a torch module, or a module and its example inputs."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the model goes.")],
    target: Annotated[str, typer.Option(help="ort-cpu, ort-cuda or portable.")] = "ort-cpu",
    threads: Threads = None,
    precision: Annotated[str, typer.Option(help="fp32 or bf16, of sparse weights.")] = "fp32",
    weights: Weights = None,
    input_shape: InputShapes = None,
    inputs: InputsFile = None,
    passes: Annotated[
        str | None,
        typer.Option(
            "-p", "--passes", help="Pipeline: name{option=value},…", show_default="by target"
        ),
    ] = None,
    print_after: Annotated[
        list[str] | None,
        typer.Option(help="Print the graph to stderr after this pass, or after all."),
    ] = None,
    time_passes: Annotated[bool, typer.Option("--time-passes", help="Time each pass.")] = False,
    rtol: Rtol = None,
    atol: Atol = None,
    samples: Samples = 3,
    seed: Seed = 0,
    data: SamplesFile = None,
    batch: Batch = None,
    min_agreement: MinAgreement = 0.0,
    op_library: OpLibraries = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Measure the layers' candidates on this machine instead of estimating them. "
            "Measured times are kept in ~/.cache/nfcompile ($XDG_CACHE_HOME/nfcompile), or in the "
            "folder $NFCOMPILE_CACHE_DIR, and reused.",
        ),
    ] = False,
    tune_seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds that --tune may measure in all; the rest is estimated.",
            show_default="60",
        ),
    ] = None,
    cross: Annotated[
        bool,
        typer.Option(
            "--cross",
            help="Compile for another machine's GPU: the result is verified on this CPU, by its "
            "kernels of the same operators.",
        ),
    ] = False,
    json: Json = None,
) -> None:
    """Compile SRC, verify the result, and only then write OUTPUT."""
    from nfcompile.compare import Tolerance
    from nfcompile.compiler import Options, compile_model
    from nfcompile.ir.publish import check_output
    from nfcompile.runtime.trials import Sampling

    check_json(json)
    check_output(output, [Path(src)])
    timings: list[tuple[str, float]] = []
    wanted = set(print_after or ())
    _check_pass_names(wanted)

    def after_pass(name: str, model: "ir.Model", seconds: float) -> None:
        timings.append((name, seconds))
        if wanted & {name, "all"}:
            talk(f"// after {name}\n{model.graph}")

    with compile_progress(tune) as told:
        options = Options(
            target=target,
            threads=threads,
            precision=precision,
            passes=passes,
            weights=weights,
            input_shapes=input_shape or None,
            tolerance=Tolerance(rtol, atol, min_agreement=min_agreement),
            sampling=Sampling(samples, seed, load_inputs(data), batch),
            op_libraries=op_library or (),
            tune=tune,
            tune_seconds=tune_seconds,
            cross=cross,
            progress=told.step,
            measuring=told.measuring,
            after_pass=after_pass,
        )
        compiled = compile_model(src, load_inputs(inputs), options)
        told.step("writing")
        compiled.save(output)
    if json is not None:
        write_json(_as_json(compiled, timings), json)
    _show(compiled, output, stderr=json == "-")
    if time_passes:
        made = table("Passes", "pass", ">ms")
        for name, seconds in timings:
            made.add_row(name, f"{seconds * 1e3:.1f}")
        show_table(made, stderr=True)


def _check_pass_names(names: set[str]) -> None:
    from nfcompile.errors import closest
    from nfcompile.passes import PASSES

    for name in sorted(names - {"all", *PASSES}):
        raise InputError(f"unknown pass {name!r}: {closest(name, [*PASSES, 'all'])}")


def _show(compiled: "Compiled", output: Path, *, stderr: bool) -> None:
    before, after = compiled.before, compiled.after
    made = table("Model", "", ">before", ">after")
    for name in sorted({*before.op_types, *after.op_types}):
        counts = (str(ops.get(name, 0)) for ops in (before.op_types, after.op_types))
        made.add_row(name, *counts)
    made.add_section()
    made.add_row("bytes of constants", human_bytes(before.nbytes), human_bytes(after.nbytes))
    # Fewer than after: some weights still stand behind masks.
    macs = f"{before.macs:,}" if before.macs >= after.macs else "not visible yet"
    made.add_row("multiply-adds per row or image", macs, f"{after.macs:,}")
    show_table(made, stderr=stderr)
    show_table(decision_table(compiled.decisions), stderr=stderr)
    for remark in compiled.remarks:
        if remark.kind != "applied":
            talk(f"{remark.kind}: {remark}")
    for note in compiled.report.notes:
        talk(f"note: {note}")
    report = compiled.report
    worst = max((item.max_of_largest for item in report.outputs), default=0.0)
    least = min((item for item in report.outputs if item.answers), default=None,
                key=lambda item: item.agreed / item.answers)  # fmt: skip
    same = "" if least is None else f", same answers {agreement_of(least)}"
    for line in accuracy_line(report):
        talk(line)
    made_sparse = sum(item.encoding != "dense" for item in compiled.decisions)
    talk(f"{made_sparse} of {len(compiled.decisions)} linear layers run sparse")
    talk(
        f"verified on {report.samples} inputs, largest error {worst:.1e} of "
        f"the largest output{same}; wrote {output} ({human_bytes(output.stat().st_size)})"
    )


def decision_table(decisions: Any) -> Any:
    """The per-layer decisions as a table."""
    made = table(
        "Layers", "layer", "out x in", ">density", "pattern", "encoding", ">bytes", "reason"
    )
    for item in decisions:
        made.add_row(
            item.layer,
            f"{item.shape[0]}x{item.shape[1]}",
            f"{item.density:.3f}",
            item.pattern,
            item.encoding,
            human_bytes(item.bytes_encoded),
            item.reason,
        )
    return made


def _as_json(compiled: "Compiled", timings: list[tuple[str, float]]) -> dict[str, Any]:
    return {
        "before": dataclasses.asdict(compiled.before),
        "after": dataclasses.asdict(compiled.after),
        "decisions": [dataclasses.asdict(item) for item in compiled.decisions],
        "remarks": [dataclasses.asdict(item) for item in compiled.remarks],
        "verification": dataclasses.asdict(compiled.report),
        "pass_seconds": [{"pass": name, "seconds": seconds} for name, seconds in timings],
    }
