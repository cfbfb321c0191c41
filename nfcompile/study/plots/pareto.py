"""Accuracy against latency: which candidates are worth a choice."""

from pathlib import Path
from typing import Any

from nfcompile.study.plots.marks import mark
from nfcompile.study.plots.picture import GRAY, INK, picture
from nfcompile.study.recommend import Candidate, Recommendation

__all__ = ["draw_pareto"]


def draw_pareto(recommendation: Recommendation, path: Path, batch: int) -> Path:
    """Draws each candidate's accuracy with its 95 % interval against its latency.

    Args:
        recommendation: All of its candidates are drawn, and the dense layer's latency.
        path: The picture to write; its suffix decides the format.
        batch: Batch size of the latency; must have been measured.

    Returns:
        `path`.
    """
    candidates = recommendation.candidates
    best = recommendation.best.topology
    widths = f"{best.in_features:,} x {best.out_features:,}"
    with picture(path, 12, 5.2) as figure:
        axis: Any = figure.subplots()
        axis.set_title(
            f"Topologies for a {widths} layer: up and left is better; bars: 95 % intervals",
            fontsize=11,
        )
        front = sorted((c for c in candidates if c.on_front), key=lambda c: _us(c, batch))
        axis.step(
            [_us(c, batch) for c in front], [100 * c.accuracy.mean for c in front],
            where="post", color=GRAY, linewidth=1, zorder=0,
            label="Pareto front: none is better in both",
        )  # fmt: skip
        for candidate in candidates:
            _point(axis, candidate, batch)
        chosen = recommendation.best
        axis.scatter(
            _us(chosen, batch), 100 * chosen.accuracy.mean, s=260, facecolors="none",
            edgecolors=INK, linewidths=1.6, label="recommended",
        )  # fmt: skip
        dense = recommendation.dense[batch].median_us
        axis.axvline(dense, color="black", linestyle=":", label=f"dense layer, {dense:,.0f} us")
        axis.set_ylim(max(0, axis.get_ylim()[0]), min(101, axis.get_ylim()[1]))
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.xaxis.set_minor_formatter("{x:,.0f}")
        axis.tick_params(axis="x", which="minor", labelsize=7)
        axis.set_xlabel(f"latency of the compiled layer at batch {batch}, us (median, log scale)")
        axis.set_ylabel("accuracy on the test set, %")
        axis.grid(color=GRAY, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        title = "weights, topology\n(hollow: narrows signals or leaves pairs apart)"
        figure.legend(loc="outside right upper", title=title, fontsize=8)
    return path


def _us(candidate: Candidate, batch: int) -> float:
    return candidate.latency[batch].median_us


def _point(axis: Any, candidate: Candidate, batch: int) -> None:
    unsound = {item.name for item in candidate.unmet} & {"reachability", "bandwidth"}
    mean = candidate.accuracy.mean
    bars = [[100 * (mean - candidate.accuracy.low)], [100 * (candidate.accuracy.high - mean)]]
    name = str(candidate.topology)
    axis.errorbar(
        _us(candidate, batch), 100 * mean, yerr=bars,
        label=f"{candidate.parameters:,}: {name}",
        **mark(name.partition("(")[0], not unsound),
    )  # fmt: skip
