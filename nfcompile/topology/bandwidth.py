"""The information bandwidth of a cascade: how many signals pass its narrowest cut.

By Menger's theorem the least number of neurons whose removal separates inputs from outputs is the
largest number of paths that share no neuron: a maximum flow in which every neuron carries one
unit. For generic weights it is also the rank of the product of the factors.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_flow

from nfcompile.topology.topology import Topology

__all__ = ["bandwidth"]


def bandwidth(topology: Topology) -> int:
    """Largest number of disjoint paths from inputs to outputs through the factors, skip apart.

    Args:
        topology: Of any shape; time grows about as edges times depth.

    Returns:
        At most the smallest width.
    """
    factors = topology.factors()
    widths = topology.layer_widths
    # Neuron i of layer l is two nodes, start[l] + i and start[l] + widths[l] + i, joined by an
    # edge of capacity one; node 0 is the source, node 1 the sink.
    start = 2 + 2 * np.concatenate([[0], np.cumsum(widths)])
    tails = [np.zeros(widths[0], np.int64)]
    heads = [start[0] + np.arange(widths[0])]
    for layer, width in enumerate(widths):
        tails.append(start[layer] + np.arange(width))
        heads.append(tails[-1] + width)
    for layer, mask in enumerate(factors):
        entries = coo_array(mask)
        tails.append(start[layer] + widths[layer] + entries.col)
        heads.append(start[layer + 1] + entries.row)
    tails.append(start[len(factors)] + widths[-1] + np.arange(widths[-1]))
    heads.append(np.ones(widths[-1], np.int64))
    tail, head = np.concatenate(tails), np.concatenate(heads)
    graph = csr_array(
        (np.ones(len(tail), np.int32), (tail.astype(np.int32), head.astype(np.int32))),
        shape=(int(start[-1]), int(start[-1])),
    )
    return int(maximum_flow(graph, 0, 1).flow_value)
