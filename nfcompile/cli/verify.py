"""`nfcompile verify`: does a model compute what another one does?"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfcompile.cli.options import (
    Atol,
    Batch,
    Cross,
    InputsFile,
    InputShapes,
    Json,
    MinAgreement,
    OpLibraries,
    Rtol,
    Samples,
    SamplesFile,
    Seed,
    Weights,
    load_inputs,
)
from nfcompile.cli.output import (
    accuracy_line,
    agreement_of,
    check_json,
    guarded,
    progress,
    show_table,
    table,
    talk,
    write_json,
)
from nfcompile.errors import VerificationError

if TYPE_CHECKING:
    from nfcompile.compare import OutputError, VerifyReport

__all__ = ["verify_command"]


@guarded
def verify_command(
    original: Annotated[
        str, typer.Argument(help="The model that is right: a .onnx or .pt2 file, or a reference.")
    ],
    compiled: Annotated[Path, typer.Argument(help="The .onnx file to check.")],
    weights: Weights = None,
    input_shape: InputShapes = None,
    rtol: Rtol = None,
    atol: Atol = None,
    samples: Samples = 3,
    seed: Seed = 0,
    inputs: InputsFile = None,
    data: SamplesFile = None,
    batch: Batch = None,
    min_agreement: MinAgreement = 0.0,
    op_library: OpLibraries = None,
    cross: Cross = False,
    json: Json = None,
) -> None:
    """Compare two models' outputs; exit 0 if they agree, else 1.

    Inputs are the original's own examples, or random numbers of the right kind (token ids, masks),
    or real samples with --data.
    """
    from nfcompile.compare import Tolerance
    from nfcompile.runtime.trials import Sampling
    from nfcompile.verifier import verify_files

    check_json(json)
    with progress() as step, told_as_failed(json):
        step("comparing")
        report = verify_files(
            original,
            compiled,
            weights=weights,
            input_shapes=input_shape or None,
            tolerance=Tolerance(rtol, atol, min_agreement=min_agreement),
            sampling=Sampling(samples, seed, load_inputs(data), batch),
            inputs=load_inputs(inputs),
            op_libraries=op_library or (),
            cross=cross,
        )
    if json is not None:
        write_json({**dataclasses.asdict(report), "passed": report.passed}, json)
    show_report(report, stderr=json == "-")
    say("PASSED" if report.passed else "FAILED", json)
    if not report.passed:
        raise typer.Exit(1)


def show_report(report: "VerifyReport", *, stderr: bool) -> None:
    """Prints the errors of each output, and what limits the comparison."""
    made = table(
        f"Outputs on {report.samples} inputs",
        "output", ">max abs error", ">of the largest", ">max rel error", ">rms error",
        ">of the rms", ">out of bounds", ">same top-1", "",
    )  # fmt: skip
    for item in report.outputs:
        made.add_row(
            item.name,
            f"{item.max_abs:.3g}",
            f"{item.max_of_largest:.3g}",
            f"{item.max_rel:.3g}",
            f"{item.rms:.3g}",
            f"{item.rms_of_rms:.3g}",
            f"{item.mismatched} of {item.size}",
            agreement_of(item),
            _verdict(item),
        )
    show_table(made, stderr=stderr)
    for line in (*accuracy_line(report), *(f"note: {note}" for note in report.notes)):
        talk(line)


def _verdict(output: "OutputError") -> str:
    if output.passed:
        return "ok"
    return "differs" if output.mismatched else f"agreement below {output.min_agreement:g}"


def say(verdict: str, json: str | None) -> None:
    """Prints the verdict where no JSON is."""
    if json == "-":
        talk(verdict)
    else:
        print(verdict)


@contextmanager
def told_as_failed(json: str | None) -> Iterator[None]:
    """Prints FAILED where models cannot agree, before the reason goes its way."""
    try:
        yield
    except VerificationError:
        say("FAILED", json)
        raise
