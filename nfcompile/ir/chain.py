"""Reading a `SparseChain` node: which of its operands belongs to which layer."""

import math
from collections.abc import Sequence

import onnx_ir as ir

from nfcompile.ir.half_floats import HALF_TYPES
from nfcompile.ir.schemas import CHAIN, CONV_CHAIN, DOMAIN, NORMS

__all__ = ["chain_places", "chain_weights", "is_chain", "stored_precision"]


def is_chain(node: ir.Node) -> bool:
    """Whether `node` is a chain of our domain."""
    return node.domain == DOMAIN and node.op_type in (CHAIN.name, CONV_CHAIN.name)


def stored_precision(model: ir.Model) -> str:
    """`fp32`, or the narrowest that weights of our operators are stored in: `fp16` or `bf16`."""
    found = {
        HALF_TYPES[value.dtype]
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.domain == DOMAIN
        for value in node.inputs
        if value is not None and value.dtype in HALF_TYPES
    }
    return min(found, default="fp32")


def chain_weights(node: ir.Node) -> list[ir.Value | None]:
    """The operand `values` of each layer of a chain; None of a norm."""
    found: list[ir.Value | None] = []
    attributes = node.attributes
    at = attributes.get_int("inputs", 1)
    kinds = attributes.get_string("encodings", "").split(",")
    lists = (attributes.get_ints(name) for name in ("row_strides", "col_strides", "has_bias"))
    for kind, row_stride, col_stride, has_bias in zip(kinds, *lists, strict=True):
        found.append(None if kind in NORMS else node.inputs[at])
        sides = 2
        if kind == "block-diagonal":
            sides = int(row_stride == 0) + int(col_stride == 0)
        elif kind in NORMS:
            sides = 0
        at += 1 + sides + int(has_bias != 0)
    return found


def chain_places(node: ir.Node) -> list[int]:
    """Places of each layer's window in one image; 0 where they are not known, 1 of products."""
    attributes = node.attributes
    sources = attributes.get_ints("sources", ())
    if node.op_type != CONV_CHAIN.name:
        return [1] * len(sources)
    lists = ("kernel_shapes", "strides", "dilations")
    windows = [attributes.get_ints(name, ()) for name in lists]
    pads = attributes.get_ints("pads", ())
    sizes = [_image_size(value) for value in node.inputs[: attributes.get_int("inputs", 1)]]
    for layer, source in enumerate(sources):
        at = slice(2 * layer, 2 * layer + 2)
        axes = zip(sizes[source], *(of[at] for of in windows), _sums(pads, layer), strict=False)
        sizes.append(
            [
                (size + padded - dilation * (kernel - 1) - 1) // stride + 1
                for size, kernel, stride, dilation, padded in axes
            ]
        )
    return [math.prod(size) if size else 0 for size in sizes[-len(sources) :]]


def _image_size(value: ir.Value | None) -> list[int]:
    """Height and width; empty where they are not known."""
    dims = () if value is None or value.shape is None else value.shape.dims[2:]
    sizes = [size for size in dims if isinstance(size, int)]
    return sizes if len(sizes) == len(dims) else []


def _sums(pads: Sequence[int], layer: int) -> tuple[int, int]:
    """Padding of both axes, front and back together."""
    top, left, bottom, right = pads[4 * layer : 4 * layer + 4]
    return top + bottom, left + right
