"""Accuracy against the number of weights: what a budget buys with each kind of topology."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfcompile.errors import InputError
from nfcompile.study.plots.marks import legend_entries, mark
from nfcompile.study.plots.picture import GRAY, picture
from nfcompile.study.prediction import equal_edges
from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import Outcome

__all__ = ["draw_accuracy"]

_SPREAD = 0.8


def draw_accuracy(outcomes: Sequence[Outcome], path: Path) -> Path:
    """Draws the accuracy of each trained topology with its 95 % interval, grouped by edges.

    A dense topology, if there is one, is drawn as a line through all groups.

    Args:
        outcomes: Those that were not trained are left out; one panel per setting.
        path: The picture to write; its suffix decides the format.

    Returns:
        `path`.

    Raises:
        InputError: If nothing was trained.
    """
    trained = [item for item in outcomes if item.accuracy]
    if not trained:
        raise InputError("no topology of the results was trained: nothing to draw")
    settings = list(dict.fromkeys(item.setting for item in trained))
    sparse = [item for item in trained if item.kind != "dense"]
    width = max([len(equal_edges(sparse)), 2]) * 1.9 + 3
    with picture(path, width, 3.8 * len(settings) + 0.6) as figure:
        figure.suptitle("Test accuracy of sparse topologies, mean and 95 % interval over seeds")
        axes = figure.subplots(len(settings), 1, squeeze=False)[:, 0]
        for axis, setting in zip(axes, settings, strict=True):
            _draw(axis, [item for item in trained if item.setting == setting])
            axis.set_title(setting)
        entries = legend_entries(sparse)
        entries += [line for line in axes[0].get_lines() if line.get_label()[0] != "_"]
        figure.legend(handles=entries, loc="outside right upper", title="topology")
    return path


def _draw(axis: Any, trained: list[Outcome]) -> None:
    groups = equal_edges(item for item in trained if item.kind != "dense")
    for place, group in enumerate(groups):
        ordered = sorted(group, key=lambda item: (item.skip, item.kind))
        for index, item in enumerate(ordered):
            assert item.accuracy
            x = place + ((index + 0.5) / len(ordered) - 0.5) * _SPREAD
            _point(axis, x, item.accuracy, mark(item.kind, item.skip))
        if place:
            axis.axvline(place - 0.5, color=GRAY, linewidth=0.5)
    for item in trained:
        if item.kind == "dense" and item.accuracy:
            style = "--" if item.skip else ":"
            label = f"{item.topology}\n{item.edges:,} weights"
            axis.axhline(100 * item.accuracy.mean, color="black", linestyle=style, label=label)
            axis.axhspan(
                100 * item.accuracy.low, 100 * item.accuracy.high, color="black", alpha=0.07
            )
    axis.set_ylim(max(0, axis.get_ylim()[0]), min(100, axis.get_ylim()[1]))
    axis.set_xticks(range(len(groups)), [_range(group) for group in groups])
    axis.set_xlim(-0.5, max(len(groups), 1) - 0.5)
    axis.set_xlabel("weights per layer")
    axis.set_ylabel("accuracy on the test set, %")
    axis.grid(axis="y", color=GRAY, alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _point(axis: Any, x: float, accuracy: Estimate, style: dict[str, Any]) -> None:
    below, above = accuracy.mean - accuracy.low, accuracy.high - accuracy.mean
    axis.errorbar(x, 100 * accuracy.mean, yerr=[[100 * below], [100 * above]], **style)


def _range(group: list[Outcome]) -> str:
    edges = [item.edges for item in group]
    low, high = min(edges), max(edges)
    return f"{high:,}" if low == high else f"{low:,} to {high:,}"
