"""Large matrices as small pictures: entries are counted per cell, nothing is ever made dense."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from nfcompile.topology import Mask, Topology
from nfcompile.topology.paths import path_counts

__all__ = ["CELLS", "PathMap", "bin_mask", "bin_paths"]

CELLS = 512
"""Most cells of a picture along one side."""

_VALUES = 1 << 24


@dataclass(frozen=True, eq=False)
class PathMap:
    """The numbers of paths between inputs and outputs.

    Attributes:
        cells: Mean number of each cell, at most `[512, 512]`; columns are inputs.
        fewest: Least number between one of these inputs and any output.
        most: Largest such number.
        joined: Share of these pairs that have a path.
    """

    cells: npt.NDArray[np.float64]
    fewest: float
    most: float
    joined: float


def bin_mask(mask: Mask, cells: int = CELLS) -> npt.NDArray[np.int64]:
    """Entries of a mask per cell of equal height and equal width; the last ones may be smaller.

    Args:
        mask: Of any shape.
        cells: Most cells along one side.

    Returns:
        At most `[cells, cells]`; the mask itself where it is no larger.
    """
    entries = coo_array(mask)
    high, wide = (-(-size // cells) for size in mask.shape)
    shape = -(-mask.shape[0] // high), -(-mask.shape[1] // wide)
    places = (entries.row // high).astype(np.int64) * shape[1] + entries.col // wide
    return np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)


def bin_paths(topology: Topology) -> PathMap:
    """Paths from each input to each output, or from 512 evenly chosen inputs where there are more.

    A cell is one input and one or more outputs: 0 only if none of them has a path.
    """
    width, rows = topology.in_features, topology.out_features
    inputs = np.unique(np.linspace(0, width - 1, min(width, CELLS)).astype(np.int64))
    high = -(-rows // CELLS)
    starts = np.arange(0, rows, high)
    sizes = np.diff([*starts, rows])[:, None]
    at_once = max(1, _VALUES // rows)
    parts, fewest, most, joined = [], np.inf, 0.0, 0
    for first in range(0, len(inputs), at_once):
        counts = path_counts(topology, inputs[first : first + at_once])
        fewest, most = min(fewest, counts.min()), max(most, counts.max())
        joined += int(np.count_nonzero(counts))
        parts.append(np.add.reduceat(counts, starts) / sizes)
    cells = np.concatenate(parts, axis=1)
    return PathMap(cells, float(fewest), float(most), joined / (rows * len(inputs)))
