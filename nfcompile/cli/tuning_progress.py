"""The steps of a compilation, with a bar of how much of the time for measuring is spent."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nfcompile.cli.output import progress

__all__ = ["Steps", "compile_progress"]


@dataclass(frozen=True)
class Steps:
    """What a compilation tells of itself.

    Attributes:
        step: Takes a few words at each step.
        measuring: Takes what is being measured, the seconds spent so far, and those allowed.
    """

    step: Callable[[str], None]
    measuring: Callable[[str, float, float], None]


@contextmanager
def compile_progress(tune: bool) -> Iterator[Steps]:
    """Shows on a terminal which step is under way, and the time left for measuring.

    Args:
        tune: Whether layers are measured. A stderr that is no terminal then gets a line in half a
            minute at most; else it gets nothing.
    """
    if not tune or not sys.stderr.isatty():
        with progress(lines=tune) as step:
            yield Steps(step, lambda what, spent, budget: step(_told(what, spent, budget)))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(30), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def measuring(what: str, spent: float, budget: float) -> None:
            said = _told(what, spent, budget)
            bar.update(task, description=said, completed=min(spent, budget), total=budget)

        yield Steps(lambda text: bar.update(task, description=text), measuring)


def _told(what: str, spent: float, budget: float) -> str:
    return f"{max(budget - spent, 0):.0f} s left for measuring: {what}"
