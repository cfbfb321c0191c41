"""What a topology looks like: the mask of each factor, and the paths through all of them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nfcompile.study.plots.binning import bin_mask, bin_paths
from nfcompile.study.plots.picture import GRAY, picture
from nfcompile.topology import Mask, Topology

__all__ = ["draw_paths", "draw_topology"]

_COLUMNS = 5
_MOST = 24
_CELLS = 256  # below the pixels of a panel, so that no cell is lost
_NONE = "#f6c9cf"


class _Panel(NamedTuple):
    """One mask, which stands for all equal ones after it, and what it is."""

    title: str
    mask: Mask


def draw_topology(topology: Topology, path: Path) -> Path:
    """Draws the mask of each factor of each branch, and the number of paths between all pairs.

    Equal factors in a row are drawn once. Wide masks are binned, see `binning`.

    Args:
        topology: What to draw.
        path: The picture to write; its suffix decides the format.

    Returns:
        `path`.
    """
    rows, hidden = _rows(topology)
    columns = max(map(len, rows))
    height = max(2.5 * len(rows), 4.2) + 0.9
    with picture(path, 2.4 * columns + 5, height) as figure:
        parts: Any = figure.subfigures(1, 2, width_ratios=[2.4 * columns, 5])
        left, right = parts
        figure.suptitle(_headline(topology))
        axes = left.subplots(len(rows), columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for panels, places in zip(rows, axes, strict=True):
            for panel, axis in zip(panels, places, strict=False):
                _draw_mask(axis, panel)
        if hidden:
            left.supxlabel(f"{hidden} more factors are not shown", color=GRAY)
        _draw_paths(right, topology)
    return path


def draw_paths(topology: Topology, path: Path) -> Path:
    """Draws the number of paths between all pairs only.

    Args:
        topology: What to draw.
        path: The picture to write; its suffix decides the format.

    Returns:
        `path`.
    """
    with picture(path, 7, 6) as figure:
        figure.suptitle(_headline(topology))
        _draw_paths(figure, topology)
    return path


def _headline(topology: Topology) -> str:
    dense = topology.in_features * topology.out_features
    added = "; the input is added to the output (skip)" if topology.skip else ""
    return (
        f"{topology}\n{topology.edges:,} weights, {topology.density:.2%} of the dense layer's "
        f"{dense:,}{added}"
    )


def _rows(topology: Topology) -> tuple[list[list[_Panel]], int]:
    """Panels row by row, a new row for each branch, and how many there was no room for."""
    branches = topology.branches()
    rows: list[list[_Panel]] = []
    for number, branch in enumerate(branches, 1):
        name = f"branch {number}, " if len(branches) > 1 else ""
        panels = _panels(branch, name)
        columns = -(-len(panels) // -(-len(panels) // _COLUMNS))
        rows += [panels[i : i + columns] for i in range(0, len(panels), columns)]
    shown = max(1, min(len(rows), _MOST // max(map(len, rows))))
    return rows[:shown], sum(map(len, rows[shown:]))


def _panels(branch: list[Mask], name: str) -> list[_Panel]:
    panels: list[_Panel] = []
    first = 0
    for index in range(1, len(branch) + 1):
        if index < len(branch) and _equal(branch[first], branch[index]):
            continue
        mask = branch[first]
        fan_in = np.diff(mask.indptr)
        low, high = fan_in.min(), fan_in.max()
        which = f"factor {first + 1}"
        if index - first > 1:
            which = f"factors {first + 1} to {index}, all equal"
        per_output = f"{low}" if low == high else f"{low} to {high}"
        size = f"{mask.shape[0]:,} x {mask.shape[1]:,}"
        title = f"{name}{which}\n{size}, {mask.nnz:,} weights\n{per_output} per output"
        panels.append(_Panel(title, mask))
        first = index
    return panels


def _equal(one: Mask, other: Mask) -> bool:
    return (
        one.shape == other.shape
        and np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
    )


def _draw_mask(axis: Any, panel: _Panel) -> None:
    counts = bin_mask(panel.mask, _CELLS)
    # A cell with a single entry has to be seen beside one with many.
    shown = np.where(counts > 0, 0.4 + 0.6 * counts / max(1, counts.max()), 0)
    _image(axis, shown, panel.mask.shape, cmap="Blues", vmin=0, vmax=1.15)
    axis.set_axis_on()
    axis.set_title(panel.title, fontsize=8)
    axis.set_xlabel("from neuron", labelpad=-6)
    axis.set_ylabel("to neuron", labelpad=-6)


def _image(axis: Any, values: Any, shape: tuple[int, ...], **style: Any) -> Any:
    ratio = shape[0] / shape[1]
    made = axis.imshow(
        values,
        extent=(0, shape[1], shape[0], 0),
        aspect="equal" if 0.2 <= ratio <= 5 else "auto",
        interpolation="nearest",
        **style,
    )
    axis.set_xticks([0, shape[1]])
    axis.set_yticks([0, shape[0]])
    return made


def _draw_paths(figure: Any, topology: Topology) -> None:
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    paths = bin_paths(topology)
    cells, shape = paths.cells, (topology.out_features, topology.in_features)
    least = float(cells[cells > 0].min(initial=paths.most))
    most = float(cells.max(initial=1))
    is_wide = most > 100 * least
    norm = LogNorm(least, most) if is_wide else Normalize(0, most)
    axis = figure.subplots()
    axis.set_facecolor(_NONE)
    image = _image(axis, np.ma.masked_equal(cells, 0), shape, cmap="viridis", norm=norm)
    axis.set_xlabel(_some("input neuron", cells.shape[1], shape[1], "evenly chosen"))
    axis.set_ylabel(_some("output neuron", cells.shape[0], shape[0], "means"))
    joins = "every pair is joined"
    if paths.joined < 1:
        joins = f"{1 - paths.joined:.2%} of pairs have none (pink: no path at all)"
    counts = _number(paths.most)
    if paths.fewest < paths.most:
        counts = f"{_number(paths.fewest)} to {counts}"
    axis.set_title(f"Paths from each input to each output: {counts}\n{joins}")
    scale = " (log scale)" if is_wide else ""
    ticks = None if is_wide else MaxNLocator(integer=True)
    figure.colorbar(image, ax=axis, label=f"number of paths{scale}", shrink=0.8, ticks=ticks)


def _some(what: str, shown: int, all_: int, how: str) -> str:
    return what if shown == all_ else f"{what} ({all_:,}, shown as {shown} {how})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"
