"""How a kind of topology is marked in every picture: a color and a shape; filled: with a skip."""

from collections.abc import Iterable
from typing import Any

from nfcompile.study.plots.picture import GRAY, INK
from nfcompile.study.summary import Outcome
from nfcompile.topology import KINDS

__all__ = ["legend_entries", "mark"]

_COLORS = (
    "#57606a", "#8c564b", "#e3892b", "#c9a400", "#1f6feb", "#17a2b8",
    "#7a9e1f", "#2e8b57", "#8250df", "#0b3d91", "#d6489b", "#cf222e",
)  # fmt: skip
_SHAPES = ("s", "v", "^", "<", "o", "D", "p", ">", "P", "h", "X", "d")


def mark(kind: str, filled: bool) -> dict[str, Any]:
    """Arguments of matplotlib's `errorbar` for one point of this kind."""
    names = list(KINDS)
    index = names.index(kind) if kind in names else 0
    color = _COLORS[index % len(_COLORS)] if kind in names else GRAY
    return {
        "color": color,
        "marker": _SHAPES[index % len(_SHAPES)],
        "markerfacecolor": color if filled else "white",
        "markersize": 6,
        "linestyle": "none",
        "elinewidth": 1,
        "capsize": 2,
    }


def legend_entries(outcomes: Iterable[Outcome]) -> list[Any]:
    """One entry per kind, and two for the skip where topologies with and without one are shown."""
    from matplotlib.lines import Line2D

    shown = list(outcomes)
    skips = {item.skip for item in shown}
    kinds = {item.kind for item in shown}
    ordered = [kind for kind in KINDS if kind in kinds] + sorted(kinds - set(KINDS))
    entries = []
    for kind in ordered:
        style = mark(kind, skips != {False})
        del style["elinewidth"], style["capsize"]
        entries.append(Line2D([], [], label=kind, **style))
    for skip, words in ((True, "filled: with skip"), (False, "hollow: no skip")):
        face = INK if skip else "white"
        line = Line2D(
            [], [], color=INK, marker="o", markerfacecolor=face, linestyle="none", label=words
        )
        entries += [line] if len(skips) > 1 else []
    return entries
