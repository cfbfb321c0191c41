"""The demo's picture: what a topology looks like, and what it costs to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfcompile.errors import EngineMissingError
from nfcompile.topology import ParallelButterfly

__all__ = ["Timing", "draw"]

_DENSE, _SPARSE, _INK = "#b8bdc7", "#1f6feb", "#24292f"


@dataclass(frozen=True)
class Timing:
    """Median microseconds of one inference of a network at a batch size, in two forms."""

    network: str
    batch: int
    dense_us: float
    compiled_us: float


def draw(topology: ParallelButterfly, timings: Sequence[Timing], path: Path) -> Path:
    """Draws the factors of a topology above the timings.

    Args:
        topology: Its factors are drawn one by one, then their product.
        timings: One panel for each network in it.
        path: The image to write.

    Returns:
        `path`.

    Raises:
        EngineMissingError: If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineMissingError("the picture needs matplotlib: pip install matplotlib") from error
    with mpl.rc_context({"font.size": 9, "text.color": _INK, "axes.edgecolor": _INK}):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        rows: Any = figure.subfigures(2, 1, height_ratios=[0.8, 1])
        _draw_factors(rows[0], topology)
        _draw_timings(rows[1], timings)
        figure.savefig(path, dpi=150)
    return path


def _draw_factors(figure: Any, topology: ParallelButterfly) -> None:
    branches = topology.branches()
    count = sum(map(len, branches))
    figure.suptitle(
        f"A dense {topology.n}x{topology.n} layer as {count} sparse factors: "
        f"{topology.edges} weights instead of {topology.n**2}, "
        f"{topology.parallel} paths from every input to every output",
        fontsize=11,
    )
    axes = iter(figure.subplots(1, count + 1))
    for number, factors in enumerate(branches, 1):
        for position, mask in enumerate(factors, 1):
            axis = next(axes)
            axis.imshow(mask.toarray(), cmap="Blues", vmin=0, vmax=1.3, interpolation="nearest")
            axis.set_title(f"branch {number}, factor {position}")
    product = topology.factors()[0]
    for mask in topology.factors()[1:]:
        product = mask @ product
    axis = next(axes)
    axis.imshow(product.toarray() > 0, cmap="Greys", vmin=0, vmax=2, interpolation="nearest")
    axis.set_title("their summed product")
    for axis in figure.axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel("input")
    figure.axes[0].set_ylabel("output")


def _draw_timings(figure: Any, timings: Sequence[Timing]) -> None:
    figure.suptitle("Time of one inference in ONNX Runtime, shorter is better", fontsize=11)
    networks = list(dict.fromkeys(timing.network for timing in timings))
    axes = figure.subplots(1, len(networks), squeeze=False)[0]
    for axis, network in zip(axes, networks, strict=True):
        rows = [timing for timing in timings if timing.network == network]
        places = range(len(rows))
        dense = [row.dense_us / 1000 for row in rows]
        sparse = [row.compiled_us / 1000 for row in rows]
        axis.bar([p - 0.2 for p in places], dense, 0.38, color=_DENSE, label="dense")
        bars = axis.bar(
            [p + 0.2 for p in places], sparse, 0.38, color=_SPARSE, label="compiled by nfcompile"
        )
        ratios = [f"{row.dense_us / row.compiled_us:.1f}x" for row in rows]
        axis.bar_label(bars, ratios, padding=2, color=_SPARSE, fontweight="bold")
        axis.set_title(network)
        axis.set_yscale("log")
        axis.margins(y=0.15)
        axis.set_xticks(places, [str(row.batch) for row in rows])
        axis.set_xlabel("batch size")
        axis.set_ylabel("milliseconds (log scale)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="upper left")
