"""`nfcompile verify`: does a model compute what another one does?"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from nfcompile.cli.options import (
    Atol,
    InputsFile,
    Json,
    OpLibraries,
    Rtol,
    Samples,
    Seed,
    load_inputs,
)
from nfcompile.cli.output import check_json, guarded, progress, show_table, table, talk, write_json
from nfcompile.errors import VerificationError

__all__ = ["verify_command"]


@guarded
def verify_command(
    reference: Annotated[Path, typer.Argument(help="The model that is right.")],
    compiled: Annotated[Path, typer.Argument(help="The model to check.")],
    rtol: Rtol = None,
    atol: Atol = None,
    samples: Samples = 3,
    seed: Seed = 0,
    inputs: InputsFile = None,
    op_library: OpLibraries = None,
    json: Json = None,
) -> None:
    """Compare two models' outputs; exit 0 if they agree, else 1."""
    from nfcompile.compare import Tolerance
    from nfcompile.verifier import verify_files

    check_json(json)
    with progress() as step, told_as_failed(json):
        step("comparing")
        report = verify_files(
            reference,
            compiled,
            tolerance=Tolerance(rtol, atol),
            samples=samples,
            seed=seed,
            inputs=load_inputs(inputs),
            op_libraries=op_library or (),
        )
    if json is not None:
        write_json({**dataclasses.asdict(report), "passed": report.passed}, json)
    made = table(
        "Outputs",
        "output",
        ">max abs error",
        ">of the largest",
        ">max rel error",
        ">out of bounds",
        "",
    )
    for item in report.outputs:
        made.add_row(
            item.name,
            f"{item.max_abs:.3g}",
            f"{item.max_of_largest:.3g}",
            f"{item.max_rel:.3g}",
            f"{item.mismatched} of {item.size}",
            "ok" if item.passed else "differs",
        )
    show_table(made, stderr=json == "-")
    for note in report.notes:
        talk(f"note: {note}")
    say("PASSED" if report.passed else "FAILED", json)
    if not report.passed:
        raise typer.Exit(1)


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
