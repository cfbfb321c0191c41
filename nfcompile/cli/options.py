"""Options that several verbs take, spelled once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfcompile.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Atol",
    "Batch",
    "Cross",
    "DataFolder",
    "DataSet",
    "InFeatures",
    "InputShapes",
    "InputsFile",
    "Json",
    "MinAgreement",
    "OpLibraries",
    "OutFeatures",
    "Rtol",
    "Samples",
    "SamplesFile",
    "Scheduler",
    "Seed",
    "Threads",
    "Weights",
    "Width",
    "Workers",
    "check_counts",
    "integers",
    "load_inputs",
    "width_pair",
]

Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write JSON to FILE, - for stdout.")
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of one inference.", show_default="all cores")
]
Rtol = Annotated[
    float | None,
    typer.Option(help="Relative tolerance.", show_default="1e-4, or 2e-2 for 16 bits"),
]
Atol = Annotated[
    float | None,
    typer.Option(
        help="Absolute tolerance.",
        show_default="1e-5 of the output's largest element, or 2e-2 for 16 bits",
    ),
]
Samples = Annotated[int, typer.Option(help="Inputs to compare on.")]
Seed = Annotated[int, typer.Option(help="Seed of random inputs.")]
InputsFile = Annotated[
    Path | None,
    typer.Option("--inputs", help="Inputs of one call by name in a .npz file."),
]
SamplesFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Real samples to compare on: a .npz file of arrays named like the inputs, samples "
        "along the first axis; labels, if there are any, give the accuracy.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(help="Samples of --data per call.", show_default="1, then 16, or what is fixed"),
]
MinAgreement = Annotated[
    float,
    typer.Option(help="Least share of answers, largest along the last axis, that must be equal."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="State for a reference: .safetensors, its .index.json or folder, or a state_dict."
    ),
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option("--input-shape", help="Shape of an example input for a reference, such as 8,784."),
]
OpLibraries = Annotated[
    list[str] | None,
    typer.Option("--op-library", help="Library of your own operators that the model needs."),
]
Cross = Annotated[
    bool,
    typer.Option("--cross", help="Run what is compiled for ort-cuda on this CPU to verify it."),
]
Width = Annotated[int | None, typer.Option("-n", help="Width of a layer, inputs and outputs.")]
InFeatures = Annotated[int | None, typer.Option("--in", help="Inputs of a layer.")]
OutFeatures = Annotated[
    int | None, typer.Option("--out", help="Outputs of a layer.", show_default="as --in")
]
DataSet = Annotated[
    str, typer.Option(help="What to train on: digits, mnist, fashion-mnist or cifar-10.")
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Folder of its files; digits needs none.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Run on this Dask cluster, such as tcp://host:8786.")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes on this machine.", show_default="all cores")
]


def load_inputs(path: Path | None) -> "dict[str, np.ndarray] | None":
    """The arrays of a `.npz` file by name; None if there is no path.

    Raises:
        InputError: If it is not such a file.
    """
    if path is None:
        return None
    from nfcompile.runtime.real_samples import read_arrays

    return read_arrays(path)


def width_pair(
    n: int | None, in_features: int | None, out_features: int | None
) -> tuple[int, int] | None:
    """The widths of a layer out of `-n`, or `--in` and `--out`; None if none is given.

    Raises:
        InputError: If both forms are mixed, or `--out` comes without `--in`.
    """
    if n is not None and (in_features is not None or out_features is not None):
        raise InputError("give the widths as -n, or as --in and --out, not both")
    if n is None and in_features is None:
        if out_features is not None:
            raise InputError(f"--out needs --in as well, got --out {out_features} alone")
        return None
    first = n if in_features is None else in_features
    assert first is not None
    return first, first if out_features is None else out_features


def check_counts(**values: int | None) -> None:
    """Raises InputError unless each value that is given is at least 1."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise InputError(f"{name.replace('_', '-')} must be at least 1, got {value}")


def integers(text: str, name: str) -> list[int]:
    """The integers of at least 1 in a text with commas between.

    Raises:
        InputError: If one is not such an integer.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise InputError(f"{name} must be integers above 0 with commas between, got {text!r}")
    return found
