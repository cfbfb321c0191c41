"""Options that several verbs take, spelled once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import BadZipFile

import typer

from nfcompile.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Atol",
    "InputsFile",
    "Json",
    "OpLibraries",
    "Rtol",
    "Samples",
    "Seed",
    "Threads",
    "load_inputs",
]

Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write JSON to FILE, - for stdout.")
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of one inference.", show_default="all cores")
]
Rtol = Annotated[
    float | None,
    typer.Option(help="Relative tolerance.", show_default="1e-4, 2e-2 for 16 bits"),
]
Atol = Annotated[
    float | None,
    typer.Option(help="Absolute tolerance.", show_default="1e-5 of the output's largest element"),
]
Samples = Annotated[int, typer.Option(help="Inputs to compare on.")]
Seed = Annotated[int, typer.Option(help="Seed of random inputs.")]
InputsFile = Annotated[
    Path | None,
    typer.Option("--inputs", help="Inputs by name in a .npz file, instead of random."),
]
OpLibraries = Annotated[
    list[str] | None,
    typer.Option("--op-library", help="Library of your own operators that the model needs."),
]


def load_inputs(path: Path | None) -> "dict[str, np.ndarray] | None":
    """The arrays of a `.npz` file by name; None if there is no path.

    Raises:
        InputError: If it is not such a file.
    """
    if path is None:
        return None
    import numpy as np

    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, AttributeError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} must be a .npz file of arrays by input name") from error
