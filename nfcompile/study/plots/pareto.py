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
        recommendation: All of its candidates are drawn, and the dense layer.
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
        dense, chosen = recommendation.dense, recommendation.best
        for candidate in candidates:
            if candidate.topology != dense.topology:
                _point(axis, candidate, batch)
        _dense(axis, dense, batch)
        front = [item for item in (*candidates, dense) if item.on_front]
        words = f"Pareto front of accuracy, weights,\nlatency at batch 1, throughput at {batch}"
        _ring(axis, front, batch, 110, GRAY, words)
        _ring(axis, [chosen], batch, 260, INK, "recommended")
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


def _ring(
    axis: Any, items: list[Candidate], batch: int, size: float, color: str, label: str
) -> None:
    axis.scatter(
        [_us(item, batch) for item in items], [100 * item.accuracy.mean for item in items],
        s=size, facecolors="none", edgecolors=color, linewidths=1.6, label=label, zorder=3,
    )  # fmt: skip


def _us(candidate: Candidate, batch: int) -> float:
    return candidate.latency[batch].median_us


def _point(axis: Any, candidate: Candidate, batch: int) -> None:
    unsound = {item.name for item in candidate.unmet} & {"reachability", "bandwidth"}
    topology = candidate.topology
    label = f"{candidate.parameters:,}: {topology}"
    axis.errorbar(
        _us(candidate, batch), 100 * candidate.accuracy.mean, yerr=_bars(candidate), label=label,
        **mark(topology.name, not unsound),
    )  # fmt: skip


def _dense(axis: Any, dense: Candidate, batch: int) -> None:
    us = _us(dense, batch)
    axis.axvline(us, color="black", linestyle=":", linewidth=0.8)
    style = {**mark("dense", True), "color": "black", "marker": "*", "markerfacecolor": "black"}
    axis.errorbar(
        us, 100 * dense.accuracy.mean, yerr=_bars(dense),
        label=f"{dense.parameters:,}: the dense layer, {us:,.0f} us", **{**style, "markersize": 11},
    )  # fmt: skip


def _bars(candidate: Candidate) -> list[list[float]]:
    accuracy = candidate.accuracy
    return [[100 * (accuracy.mean - accuracy.low)], [100 * (accuracy.high - accuracy.mean)]]
