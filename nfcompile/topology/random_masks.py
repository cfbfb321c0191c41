"""Random masks: regular ones from permutations, and ones whose rows pick their columns."""

import numpy as np

from nfcompile.topology.neighbours import regular_csr
from nfcompile.topology.topology import Mask

__all__ = ["biregular_mask", "picked_mask"]

_REPAIRS = 200


def picked_mask(rows: int, columns: int, degree: int, rng: np.random.Generator) -> Mask:
    """Each row picks `degree` different columns, uniformly."""
    if degree * 4 > columns:
        order = np.argsort(rng.random((rows, columns)), axis=1)
        return regular_csr(order[:, :degree], columns)
    picked = rng.integers(columns, size=(rows, degree))
    twice = np.ones(picked.shape, bool)
    while twice.any():  # only the repetitions are drawn again: rows of many would never be clean
        picked.sort(axis=1)
        twice[:, 0] = False
        twice[:, 1:] = picked[:, 1:] == picked[:, :-1]
        picked[twice] = rng.integers(columns, size=int(twice.sum()))
    return regular_csr(picked, columns)


def biregular_mask(rows: int, columns: int, degree: int, rng: np.random.Generator) -> Mask:
    """Each neuron of the wider side has `degree` partners, spread evenly over the other side.

    For equal sides it is the union of `degree` permutations without a common entry.

    Args:
        rows: Number of outputs.
        columns: Number of inputs.
        degree: At most the smaller side.
        rng: Source of the permutations.

    Returns:
        A canonical mask of ones, `[rows, columns]`.
    """
    wide, narrow = max(rows, columns), min(rows, columns)
    if 2 * degree > narrow:  # few places are free: choose those that stay empty
        mask = _complement(_disjoint(wide, narrow, narrow - degree, rng), narrow)
    else:
        mask = _disjoint(wide, narrow, degree, rng)
    wired = regular_csr(mask, narrow)
    return wired if rows >= columns else wired.T.tocsr()


def _complement(partners: np.ndarray, narrow: int) -> np.ndarray:
    free = np.ones((len(partners), narrow), bool)
    np.put_along_axis(free, partners, False, axis=1)
    return np.nonzero(free)[1].reshape(len(partners), -1)


def _disjoint(wide: int, narrow: int, degree: int, rng: np.random.Generator) -> np.ndarray:
    """`[wide, degree]` partners; each column of it meets every partner equally often."""
    partners = np.empty((wide, degree), np.int64)
    for index in range(degree):
        partners[:, index] = _without_collisions(partners[:, :index], wide, narrow, rng)
    return partners


def _without_collisions(
    taken: np.ndarray, wide: int, narrow: int, rng: np.random.Generator
) -> np.ndarray:
    """A balanced assignment that repeats none of `taken`, by swapping where it does."""
    while True:
        found = rng.permutation(wide) % narrow
        for _ in range(_REPAIRS):
            clash = np.nonzero((taken == found[:, None]).any(axis=1))[0]
            if len(clash) == 0:
                return found
            # Each clashing neuron swaps with a random other one; both stay assigned.
            for one, other in zip(clash, rng.integers(wide, size=len(clash)), strict=True):
                found[one], found[other] = found[other], found[one]
