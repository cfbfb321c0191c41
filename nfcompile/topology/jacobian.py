"""How many entries of the dense matrix a topology can prescribe at once, without any training.

The product of the factors is a polynomial map from the weights to the `n_out x n_in` matrix. The
rank of its Jacobian at a generic point is the dimension of the set of matrices that it reaches.
Evaluated at a random point modulo a prime p, the rank is exact with probability at least
1 - degree / p (Schwartz and Zippel), and never too large.

With `W = S_l F_l P_l` around factor l, entry (a, b) of `F_l` contributes the rank-one matrix
`S_l[:, a] P_l[b, :]`: one row of the Jacobian.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from nfcompile.errors import InputError
from nfcompile.topology.modular import PRIME, modular_product, modular_rank, reduce_
from nfcompile.topology.topology import Mask, Topology

__all__ = ["Freedom", "freedom", "jacobian_rank"]

_LARGEST = 1 << 27
_SECONDS = 1 << 22  # entries of a Jacobian whose rank takes seconds at most


@dataclass(frozen=True)
class Freedom:
    """How many entries of the effective dense matrix can be prescribed at once.

    Attributes:
        entries: That number, at most `in_features * out_features`.
        exact: Whether it is the rank of the Jacobian, and not an upper bound.
    """

    entries: int
    exact: bool


def freedom(topology: Topology) -> Freedom:
    """The heuristic that needs no training: the Jacobian's rank where that is quick, or a bound.

    A hidden neuron can scale its weights up before and down after it, so each costs one weight:
    the bound is `edges` minus the hidden neurons of all branches. Narrow middles that are densely
    connected stay below it.

    Args:
        topology: Of any size that can be built; the skip changes nothing.
    """
    entries = topology.in_features * topology.out_features
    if topology.depth == 1:
        return Freedom(topology.edges, exact=True)  # each weight is an entry
    if topology.edges * entries <= _SECONDS:
        return Freedom(jacobian_rank(topology), exact=True)
    hidden = sum(mask.shape[0] for branch in topology.branches() for mask in branch[:-1])
    return Freedom(min(entries, topology.edges - hidden), exact=False)


def jacobian_rank(topology: Topology, seed: int = 0) -> int:
    """The generic rank of d(product of factors) / d(weights); the skip changes nothing in it.

    Args:
        topology: Its Jacobian has `edges` rows and `in_features * out_features` columns.
        seed: Of the point at which it is evaluated.

    Returns:
        At most `edges` and at most `in_features * out_features`.

    Raises:
        InputError: If the Jacobian would take more than a gigabyte.
    """
    columns = topology.in_features * topology.out_features
    if topology.edges * columns > _LARGEST:
        raise InputError(
            f"the Jacobian of {topology} has {topology.edges} x {columns} entries, more than "
            f"{_LARGEST}: take a narrower member of the same kind"
        )
    rng = np.random.default_rng(seed)
    rows = [_rows(branch, rng) for branch in topology.branches()]
    return modular_rank(np.concatenate(rows))


def _rows(branch: list[Mask], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The part of the Jacobian that belongs to one branch, modulo the prime."""
    factors = [mask.toarray() * rng.integers(1, PRIME, mask.shape) for mask in branch]
    width = branch[0].shape[1]
    prefixes = [np.eye(width)]
    for factor in factors[:-1]:
        prefixes.append(modular_product(factor.astype(np.float64), prefixes[-1]))
    suffix = np.eye(branch[-1].shape[0])
    parts: list[npt.NDArray[np.float64]] = []
    for mask, factor, prefix in zip(branch[::-1], factors[::-1], prefixes[::-1], strict=True):
        entries = coo_array(mask)
        outer = suffix[:, entries.row].T[:, :, None] * prefix[entries.col][:, None, :]
        parts.append(reduce_(outer).reshape(mask.nnz, math.prod(outer.shape[1:])))
        suffix = modular_product(suffix, factor.astype(np.float64))
    return np.concatenate(parts)
