"""What a model is made of: operators, bytes of constants, multiply-adds."""

import math
from collections import Counter
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.chain import chain_places, chain_weights, is_chain
from nfcompile.ir.linear import constant
from nfcompile.ir.schemas import CONVS, DOMAIN, MATMULS

__all__ = ["Summary", "summarize"]

_PRODUCTS = {("", "MatMul"), ("", "Gemm"), *((DOMAIN, schema.name) for schema in MATMULS.values())}
_CONVOLUTIONS = {("", "Conv"), *((DOMAIN, schema.name) for schema in CONVS.values())}
"""Operators whose second input is the weight, or what is stored of it."""


@dataclass(frozen=True)
class Summary:
    """Counts over a whole model.

    Attributes:
        op_types: Nodes by operator, subgraphs included.
        nbytes: Bytes of all constants.
        macs: Multiply-adds of linear layers for one row of activations, and of convolutions for
            one image of known size.
    """

    op_types: dict[str, int]
    nbytes: int
    macs: int


def summarize(model: ir.Model) -> Summary:
    """Counts the model as it stands."""
    counts: Counter[str] = Counter()
    macs = 0
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        counts[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] += 1
        if (node.domain, node.op_type) in _PRODUCTS:
            macs += sum(map(_size, node.inputs[1:2]))
        elif is_chain(node):
            layers = zip(chain_places(node), chain_weights(node), strict=True)
            macs += sum(places * _size(values) for places, values in layers)
        elif (node.domain, node.op_type) in _CONVOLUTIONS:
            macs += _places(node.outputs[0]) * sum(map(_size, node.inputs[1:2]))
    nbytes = sum(
        value.const_value.nbytes
        for graph in (model.graph, *model.graph.subgraphs())
        for value in graph.initializers.values()
        if value.const_value is not None
    )
    return Summary(dict(sorted(counts.items())), nbytes, macs)


def _size(value: ir.Value | None) -> int:
    tensor = constant(value)
    return 0 if tensor is None else tensor.size


def _places(y: ir.Value) -> int:
    """Places of a convolution's window in one image; 0 where they are not known."""
    dims = () if y.shape is None else y.shape.dims[2:]
    sizes = [size for size in dims if isinstance(size, int)]
    return math.prod(sizes) if dims and len(sizes) == len(dims) else 0
