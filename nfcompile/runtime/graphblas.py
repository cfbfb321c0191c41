"""SuiteSparse:GraphBLAS through python-graphblas, in a worker: Graph Challenge networks only."""

from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.linear_graph import Activate, LinearGraph, Multiply, read_linear_graph
from nfcompile.runtime.peers.serve import encode
from nfcompile.runtime.worker import WorkerRunner, peers_python

__all__ = ["GraphBlasEngine"]


class GraphBlasEngine:
    """GraphBLAS with sparse activations, as submissions to the challenge have them."""

    name = "graphblas"

    def load(self, path: Path, threads: int) -> WorkerRunner:
        """Starts a worker with the weights of the model at `path`.

        Raises:
            EngineMissingError: If the peers are not installed.
            UnsupportedModelError: If the model is no Graph Challenge network.
        """
        python = peers_python()
        graph = read_linear_graph(path)
        model = {"output": graph.output, "layers": _layers(graph)}
        return WorkerRunner("GraphBLAS", python, "run_graphblas", model, threads, cwd=None)


def _layers(graph: LinearGraph) -> list[dict[str, Any]]:
    """Weight, bias and ceiling of each layer.

    A bias that is added to stored entries alone gives the same only where it is below 0 and what
    is not above 0 is dropped.
    """
    layers = []
    pairs = zip(graph.steps[::2], graph.steps[1::2], strict=False)
    for product, clip in pairs:
        if not (isinstance(product, Multiply) and isinstance(clip, Activate)):
            break
        bias = product.bias
        if bias is None or bias.size == 0 or bias[0] > 0 or (bias != bias[0]).any():
            break
        if clip.name != "clip" or clip.alpha != 0:
            break
        weight = product.csr().T.tocsr()
        arrays = {
            "values": weight.data,
            "indices": weight.indices.astype(np.uint64),
            "indptr": weight.indptr.astype(np.uint64),
        }
        layers.append(
            {
                "csr": encode(arrays),
                "shape": weight.shape,
                "bias": float(bias[0]),
                "ceiling": clip.beta,
            }
        )
    if not layers or 2 * len(layers) != len(graph.steps):
        raise UnsupportedModelError(
            "GraphBLAS runs layers of one negative bias, each clipped from 0: the Graph Challenge"
        )
    return layers
