"""Finds the layers whose weight can be sparse, of either kind: linear ones and convolutions."""

from collections.abc import Iterator

import onnx_ir as ir

from nfcompile.ir.convolution import match_convolution
from nfcompile.ir.layer import Layer
from nfcompile.ir.linear import match_linear

__all__ = ["find_layers", "match_layer"]


def match_layer(node: ir.Node) -> Layer | str | None:
    """`node` as a layer; None if it is none, a reason if one cannot be made of it."""
    match = match_linear(node)
    return match_convolution(node) if match is None else match


def find_layers(model: ir.Model) -> Iterator[Layer]:
    """All layers of the model, subgraphs included, in topological order."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        match = match_layer(node)
        if isinstance(match, Layer):
            yield match
