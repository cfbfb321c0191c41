"""What all pictures share: a figure without a window, and a file that is whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfcompile.errors import EngineMissingError, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GRAY", "INK", "check_picture", "picture"]

INK, GRAY = "#24292f", "#8c939c"
_SUFFIXES = (".png", ".svg", ".pdf")
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "figure.titlesize": 11,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "nfcompile",  # equal data, equal file
}


def check_picture(path: Path) -> None:
    """Checks that a picture can be made and written to `path`, before any work is done.

    Raises:
        InputError: If the suffix is unknown, or the folder is missing or read-only.
        EngineMissingError: If matplotlib is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"picture {path} must end in {', '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"output folder {path.parent} does not exist: create it first")
    if path.is_dir():
        raise InputError(f"picture {path} is a folder: name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"output folder {path.parent} must be writable")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise EngineMissingError("pictures need matplotlib: pip install matplotlib") from error


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """An empty figure that is written to `path` when the body is done without an error.

    Args:
        path: Its suffix decides the format.
        width: Inches.
        height: Inches.

    Raises:
        InputError: If it cannot be written.
        EngineMissingError: If matplotlib is not installed.
    """
    check_picture(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = _STYLE
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _write(figure, path)


def _write(figure: "Figure", path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    kind = path.suffix.lower().lstrip(".")
    dates: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    try:
        figure.savefig(beside, format=kind, dpi=160, metadata=dates.get(kind))
        beside.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
