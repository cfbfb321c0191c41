"""The heuristic against accuracy: does what needs no data predict what training finds?"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nfcompile.errors import InputError
from nfcompile.study.plots.marks import legend_entries, mark
from nfcompile.study.plots.picture import GRAY, picture
from nfcompile.study.prediction import equal_edges, predictions
from nfcompile.study.statistics import Estimate, RankCorrelation
from nfcompile.study.summary import METRICS, Outcome

__all__ = ["draw_heuristic"]

_FEWEST = 3  # pairs that a rank correlation needs
_NAMES = {
    "l2": "L2: squared error\n(lower should be better)",
    "l1": "L1: absolute error\n(lower should be better)",
    "l0": "L0: share of entries matched\n(higher should be better)",
    "rank": "rank of the Jacobian\n(higher should be better)",
}


def draw_heuristic(outcomes: Sequence[Outcome], path: Path) -> Path:
    """Draws accuracy against each metric: a row per setting and number of edges, rho in each panel.

    Args:
        outcomes: Those that were not both scored and trained are left out.
        path: The picture to write; its suffix decides the format.

    Returns:
        `path`.

    Raises:
        InputError: If nothing was both scored and trained.
    """
    known = [item for item in outcomes if item.accuracy and item.heuristic]
    if not known:
        raise InputError("no topology of the results was both scored and trained: nothing to draw")
    settings = list(dict.fromkeys(item.setting for item in known))
    rows = [
        group
        for setting in settings
        for group in equal_edges(item for item in known if item.setting == setting)
    ]
    rows = [group for group in rows if len(group) >= _FEWEST] or rows
    with picture(path, 3 * len(METRICS) + 1.8, 3.1 * len(rows) + 0.8) as figure:
        figure.suptitle(
            "Does the data-free heuristic predict accuracy? "
            "Spearman's rho within equal numbers of weights; bars: 95 % intervals, cut at the frame"
        )
        axes = figure.subplots(len(rows), len(METRICS), squeeze=False)
        for group, places in zip(rows, axes, strict=True):
            for metric, axis in zip(METRICS, places, strict=True):
                _draw(axis, group, metric)
            most = max(item.edges for item in group)
            places[0].set_ylabel(
                f"{group[0].setting}\nup to {most:,} weights\n\naccuracy on the test set, %"
            )
        for metric, axis in zip(METRICS, axes[-1], strict=True):
            axis.set_xlabel(_NAMES[metric])
        entries = legend_entries([item for group in rows for item in group])
        figure.legend(handles=entries, loc="outside right upper", title="topology")
    return path


def _draw(axis: Any, group: list[Outcome], metric: str) -> None:
    for item in group:
        if item.accuracy and metric in item.heuristic:
            x, y = item.heuristic[metric], item.accuracy
            axis.errorbar(
                x.mean, 100 * y.mean, xerr=_bars(x, 1), yerr=_bars(y, 100),
                **{**mark(item.kind, item.skip), "elinewidth": 0.5, "capsize": 0},
            )  # fmt: skip
    _frame(axis, [item for item in group if metric in item.heuristic], metric)
    words = {True: "with skip: ", False: "no skip: "}
    found = predictions(group)
    lines = [
        (words[part.skip] if len(found) > 1 else "") + _say(part.correlations[metric])
        for part in found
    ]
    axis.set_title("\n".join(lines), fontsize=8)
    axis.grid(color=GRAY, alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _frame(axis: Any, shown: list[Outcome], metric: str) -> None:
    """Frames the points, not the bars: those of few seeds are longer than all differences."""
    x = [item.heuristic[metric].mean for item in shown]
    y = [100 * item.accuracy.mean for item in shown if item.accuracy]
    for values, limit in ((x, axis.set_xlim), (y, axis.set_ylim)):
        finite = [value for value in values if math.isfinite(value)]
        if finite and min(finite) < max(finite):
            margin = 0.2 * (max(finite) - min(finite))
            limit(min(finite) - margin, max(finite) + margin)


def _bars(value: Estimate, unit: int) -> list[list[float]]:
    return [[unit * (value.mean - value.low)], [unit * (value.high - value.mean)]]


def _say(correlation: RankCorrelation) -> str:
    if math.isnan(correlation.rho):
        return f"rho unknown, n = {correlation.count}"
    return f"rho = {correlation.rho:+.2f}, p = {correlation.p_value:.2g}, n = {correlation.count}"
