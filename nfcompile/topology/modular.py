"""Linear algebra modulo a prime, exact in double precision.

Residues are below 2^23, so a sum of 64 products stays below 2^52 and BLAS computes it exactly.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["PRIME", "modular_product", "modular_rank", "reduce_"]

PRIME = 8388593
"""The largest prime below 2^23."""

_PANEL = 64

Residues = npt.NDArray[np.float64]


def reduce_(values: Residues) -> Residues:
    """Brings integers of magnitude below 2^52 to [0, p), in place; much faster than fmod."""
    quotient = np.floor(values * (1.0 / PRIME))
    quotient *= PRIME
    values -= quotient
    np.add(values, PRIME, out=values, where=values < 0)  # the quotient may be one too large
    np.subtract(values, PRIME, out=values, where=values >= PRIME)  # or one too small
    return values


def modular_product(left: Residues, right: Residues) -> Residues:
    """`left @ right` of residues, as residues."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for start in range(0, left.shape[1], _PANEL):
        total += reduce_(left[:, start : start + _PANEL] @ right[start : start + _PANEL])
    return reduce_(total)


def modular_rank(matrix: Residues) -> int:
    """Rank of a matrix over the field of p elements, by elimination in panels of rows.

    Args:
        matrix: Residues in [0, p), `[rows, columns]`. It is overwritten.

    Returns:
        The rank.
    """
    rank = 0
    for start in range(0, len(matrix), _PANEL):
        pivots, columns, inverse = _eliminate(matrix[start : start + _PANEL])
        rank += len(columns)
        rest = matrix[start + _PANEL :]
        factors = modular_product(rest[:, columns], inverse)
        rest -= reduce_(factors @ pivots)
        np.add(rest, PRIME, out=rest, where=rest < 0)
    return rank


def _eliminate(panel: Residues) -> tuple[Residues, list[int], Residues]:
    """Echelon form of at most 64 rows.

    Returns:
        The pivot rows P, their pivot columns, and the inverse of the unit upper triangular
        `P[:, columns]`, with which `row - row[columns] @ inverse @ P` is zero in all of these.
    """
    count = 0
    pivots = np.zeros_like(panel)
    columns: list[int] = []
    inverse = np.eye(len(panel))
    for row in panel:
        factors = reduce_(row[columns] @ inverse[:count, :count])
        left = reduce_(row - reduce_(factors @ pivots[:count]))
        found = np.flatnonzero(left)
        if len(found) == 0:
            continue
        column = int(found[0])
        pivots[count] = reduce_(left * pow(int(left[column]), -1, PRIME))
        inverse[:count, count] = reduce_(-(inverse[:count, :count] @ pivots[:count, column]))
        columns.append(column)
        count += 1
    return pivots[:count], columns, inverse[:count, :count]
