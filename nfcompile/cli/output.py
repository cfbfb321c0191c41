"""What all verbs share: data to stdout, talk to stderr, one line per error, exit codes."""

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from nfcompile.errors import InputError, NfcompileError

if TYPE_CHECKING:
    from rich.table import Table

    from nfcompile.compare import OutputError, VerifyReport

__all__ = [
    "accuracy_line",
    "agreement_of",
    "check_json",
    "guarded",
    "human_bytes",
    "progress",
    "show_table",
    "table",
    "talk",
    "write_json",
]

F = TypeVar("F", bound=Callable[..., None])

_INTERRUPTED = 130
_PIPED_WIDTH = 160
_EVERY_S = 30.0


def guarded(command: F) -> F:
    """Turns errors raised on purpose into one line on stderr and their exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NfcompileError as error:
            talk(f"nfcompile: error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            talk("nfcompile: interrupted")
            raise typer.Exit(_INTERRUPTED) from None

    return run  # type: ignore[return-value]


def talk(text: str) -> None:
    """Prints a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def table(title: str, *columns: str) -> "Table":
    """An empty table; columns whose name starts with `>` are right-aligned."""
    from rich import box
    from rich.table import Table

    style = box.SIMPLE_HEAD
    made = Table(title=title, title_justify="left", box=style, pad_edge=False, show_edge=False)
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return made


def show_table(made: "Table", *, stderr: bool = False) -> None:
    """Prints a table to stdout, or to stderr where stdout carries JSON."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    Console(file=stream, width=None if stream.isatty() else _PIPED_WIDTH).print(made)


@contextmanager
def progress(*, lines: bool = False) -> Iterator[Callable[[str], None]]:
    """Shows on a terminal which step is under way, with a spinner and the time.

    Args:
        lines: Whether a stderr that is no terminal gets a step as a line, at most one in half a
            minute; else it gets nothing.
    """
    if not sys.stderr.isatty():
        yield _seldom() if lines else lambda step: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step: bar.update(task, description=step)


def _seldom() -> Callable[[str], None]:
    """Prints a step if the last one that was printed is half a minute old."""
    last = time.monotonic()

    def say(step: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_S:
            last = time.monotonic()
            talk(step)

    return say


def check_json(where: str | None) -> None:
    """Checks that JSON can be written to `where`, before any work is done.

    Raises:
        InputError: If its folder is missing or read-only.
    """
    if where not in (None, "-") and not os.access(Path(str(where)).absolute().parent, os.W_OK):
        raise InputError(f"cannot write {where}: its folder is missing or not writable")


def write_json(data: Any, where: str) -> None:
    """Writes `data` as JSON to the file `where`, or to stdout for `-`.

    The file is whole or it is as it was before.

    Raises:
        InputError: If the file cannot be written.
    """
    text = json.dumps(data, indent=2)
    if where == "-":
        print(text)
        return
    # Where a link leads: the link stays.
    path = Path(os.path.realpath(where))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # such as a pipe, which holds nothing to lose
            path.write_text(text + "\n")
            return
        beside.write_text(text + "\n")
        beside.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {where}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def agreement_of(output: "OutputError") -> str:
    """How many answers of an output are the same, such as `99.8 % of 1,024`."""
    if not output.answers:
        return "none"
    return f"{_percent(output.agreed, output.answers)} of {output.answers:,}"


def accuracy_line(report: "VerifyReport") -> list[str]:
    """A line on the accuracy of both models, if there were labels."""
    found = report.accuracy
    if found is None or not found.labels:
        return []
    before, after = (_percent(n, found.labels) for n in (found.right_before, found.right_after))
    return [f"accuracy of output {found.output} on {found.labels:,} labels: {before}, now {after}"]


def _percent(part: int, whole: int) -> str:
    """A share in percent, never rounded to all or nothing where it is not."""
    share = 100 * part / whole
    digits = 2 if part in (0, whole) else max(2, math.ceil(-math.log10(min(share, 100 - share))))
    return f"{share:.{digits}f} %"


def human_bytes(count: int) -> str:
    """`count` with a unit, such as `1.5 MB` (powers of 1000)."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
