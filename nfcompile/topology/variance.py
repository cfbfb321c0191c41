"""The variance of each entry of the effective dense matrix, exactly, from the masks alone.

For independent zero-mean weights the variance of an entry of the product is the sum over its
paths of the products of the weights' variances. With `Var w = 1 / k_in` each row sums to one; where
all rows of a factor have the same fan-in an entry is `P_ij / (paths into output i)`, so 1/n
wherever the path counts are equal too.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from nfcompile.topology.topology import Topology

__all__ = ["effective_variance"]


def effective_variance(
    topology: Topology, inputs: npt.NDArray[np.integer] | None = None, *, dense: bool = False
) -> npt.NDArray[np.float64]:
    """Variance of the product's entries under an initialization of each factor.

    Args:
        topology: Whose factors; the sum of p branches is divided by p, the skip is left out.
        inputs: Columns to compute; all by default.
        dense: Whether weights are initialized as if the factor were dense, with variance one over
            its number of inputs, instead of one over the true fan-in.

    Returns:
        `[out_features, len(inputs)]`.
    """
    starts = np.arange(topology.in_features) if inputs is None else np.asarray(inputs)
    branches = topology.branches()
    total = np.zeros((topology.out_features, len(starts)))
    for branch in branches:
        variance = None
        for mask in branch:
            fan_in = np.maximum(np.diff(mask.indptr), 1)
            per_row = np.full(mask.shape[0], 1 / mask.shape[1]) if dense else 1 / fan_in
            values = np.repeat(per_row, np.diff(mask.indptr))
            factor = csr_array((values, mask.indices, mask.indptr), shape=mask.shape)
            variance = factor[:, starts].toarray() if variance is None else factor @ variance
        assert variance is not None
        total += variance / len(branches)
    return total
