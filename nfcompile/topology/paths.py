"""How many paths lead from each input to each output: products of masks, a few inputs at a time."""

import numpy as np
import numpy.typing as npt

from nfcompile.topology.topology import Topology

__all__ = ["path_counts"]


def path_counts(
    topology: Topology, inputs: npt.NDArray[np.integer] | None = None
) -> npt.NDArray[np.float64]:
    """Counts the paths through the factors; the skip is not one of them.

    Args:
        topology: Whose paths.
        inputs: Indices of the inputs to start from; all by default.

    Returns:
        `[out_features, len(inputs)]` in double precision: exact up to 2^53, beyond that to 16
        digits.
    """
    starts = np.arange(topology.in_features) if inputs is None else np.asarray(inputs)
    total = np.zeros((topology.out_features, len(starts)))
    for branch in topology.branches():
        counts = branch[0][:, starts].astype(np.float64).toarray()
        for mask in branch[1:]:
            counts = np.asarray(mask.astype(np.float64) @ counts)
        total += counts
    return total
