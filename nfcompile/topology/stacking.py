"""Branches as one cascade: stacked first factors, block-diagonal ones between, joined last ones.

The sum over b of W_bL ... W_b1 is [W_1L ... W_pL] diag(...) ... diag(...) [W_11; ...; W_p1].
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import block_diag, csr_array, eye_array, hstack, vstack

if TYPE_CHECKING:
    from nfcompile.topology.topology import Mask

__all__ = ["stack"]


def stack(branches: Sequence[Sequence["Mask"]]) -> list["Mask"]:
    """Joins branches that are summed into one cascade of equal path counts.

    Args:
        branches: For each branch its masks in order of application. Identities carry branches
            that are shorter than the longest to the end.

    Returns:
        Masks in order of application; the branches themselves if there is only one.
    """
    if len(branches) == 1:
        return list(branches[0])
    length = max(map(len, branches))
    first, *middle, last = zip(*(_lengthen(branch, length) for branch in branches), strict=True)
    stacked = [vstack(first), *(block_diag(masks) for masks in middle), hstack(last)]
    return [csr_array(mask) for mask in stacked]


def _lengthen(branch: Sequence["Mask"], length: int) -> list["Mask"]:
    wire = csr_array(eye_array(branch[-1].shape[0], dtype=np.int64))
    return [*branch, *[wire] * (length - len(branch))]
