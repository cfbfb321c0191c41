"""Loss by epoch of several runs: which of them learn, which stand still, and which break."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nfcompile.errors import InputError
from nfcompile.study.plots.picture import GRAY, picture

__all__ = ["draw_training"]

_COLORS = ("#1f6feb", "#e3892b", "#2e8b57", "#cf222e", "#8250df", "#8c564b", "#d6489b", "#57606a")
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_STILL = 0.01


def draw_training(curves: Mapping[str, Sequence[float]], path: Path, title: str) -> Path:
    """Draws the training loss of several runs on a log scale, and says which of them fail.

    Args:
        curves: Mean loss of each epoch, nats, by the name of the run. A cross marks where one
            turns into something that is no finite number.
        path: The picture to write; its suffix decides the format.
        title: Of the picture.

    Returns:
        `path`.

    Raises:
        InputError: If there is no curve with an epoch.
    """
    if not any(curves.values()):
        raise InputError("no run has an epoch: nothing to draw")
    with picture(path, 9.5, 4.6) as figure:
        from matplotlib.ticker import LogLocator, NullFormatter

        figure.suptitle(title)
        axis: Any = figure.subplots()
        for index, (name, losses) in enumerate(curves.items()):
            _draw(axis, name, losses, index)
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel("mean training loss, nats (log scale)")
        axis.grid(color=GRAY, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", title="run")
    return path


def _draw(axis: Any, name: str, losses: Sequence[float], index: int) -> None:
    color, dashes = _COLORS[index % len(_COLORS)], _DASHES[index % len(_DASHES)]
    usable = [loss if math.isfinite(loss) and loss > 0 else math.nan for loss in losses]
    epochs = range(1, len(losses) + 1)
    # Runs that stand still lie on each other: dashes let the wide first ones show.
    width = 4 - min(2.5, 0.6 * index) if _is_still(losses) else 1.8
    axis.plot(
        epochs, usable, color=color, linestyle=dashes, marker="o", markersize=3,
        linewidth=width, label=_label(name, losses),
    )  # fmt: skip
    broken = _first_broken(losses)
    if broken is None:
        return
    at_top = {} if broken else {"transform": axis.get_xaxis_transform()}
    place = usable[broken - 1] if broken else 0.97
    axis.plot(max(broken, 1), place, marker="X", markersize=11, color=color, **at_top)


def _label(name: str, losses: Sequence[float]) -> str:
    broken = _first_broken(losses)
    if broken is not None:
        return f"{name}\n  no finite number from epoch {broken + 1}"
    if _is_still(losses):
        return f"{name}\n  stands still at {losses[-1]:.3g}"
    return f"{name}\n  ends at {losses[-1]:.3g}" if losses else name


def _is_still(losses: Sequence[float]) -> bool:
    return len(losses) > 1 and max(losses) - min(losses) <= _STILL * abs(max(losses))


def _first_broken(losses: Sequence[float]) -> int | None:
    return next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
