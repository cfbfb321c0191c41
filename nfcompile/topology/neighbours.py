"""Grids: masks that join each index to itself and its neighbours, and how widths are fitted."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from nfcompile.topology.topology import Mask

__all__ = ["crop", "neighbour_mask", "regular_csr"]


def regular_csr(indices: np.ndarray, columns: int) -> Mask:
    """A mask from the columns of each row.

    Args:
        indices: `[rows, degree]`; each row holds different columns, in any order.
        columns: Width of the mask.

    Returns:
        A canonical mask of ones, `[rows, columns]`.
    """
    rows, degree = indices.shape
    indptr = np.arange(0, rows * degree + 1, degree, dtype=np.int64)
    entries = np.sort(indices, axis=1).ravel()
    return csr_array((np.ones(rows * degree, np.int64), entries, indptr), shape=(rows, columns))


def neighbour_mask(sides: Sequence[int]) -> Mask:
    """Joins each point of a torus to itself and to the next ones in each dimension.

    Args:
        sides: Length of each dimension, at least 2. At length 2 both neighbours are one, and a
            torus of such sides is a hypercube.

    Returns:
        A canonical mask, `[n, n]` with `n` the product of `sides`.
    """
    points = np.arange(math.prod(sides), dtype=np.int64)
    found = [points]
    place = 1
    for side in sides:
        digit = points // place % side
        for move in (1, -1) if side > 2 else (1,):
            found.append(points + ((digit + move) % side - digit) * place)
        place *= side
    return regular_csr(np.stack(found, axis=1), len(points))


def crop(masks: Sequence[Mask], in_features: int, out_features: int) -> list[Mask]:
    """Leaves out inputs of the first mask and outputs of the last that are not there.

    It is how a topology of one width serves two: as if the input were filled with zeros and
    the surplus outputs dropped, but without their weights.
    """
    cropped = list(masks)
    cropped[0] = csr_array(cropped[0][:, :in_features])
    cropped[-1] = csr_array(cropped[-1][:out_features])
    return cropped
