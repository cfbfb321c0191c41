"""Reading a `SparseChain` node: which of its operands belongs to which layer."""

import onnx_ir as ir

from nfcompile.ir.half_floats import HALF_TYPES
from nfcompile.ir.schemas import CHAIN, CONV_CHAIN, DOMAIN

__all__ = ["chain_weights", "is_chain", "stored_precision"]


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


def chain_weights(node: ir.Node) -> list[ir.Value]:
    """The operand `values` of each layer of a chain."""
    found: list[ir.Value] = []
    attributes = node.attributes
    at = attributes.get_int("inputs", 1)
    kinds = attributes.get_string("encodings", "").split(",")
    lists = (attributes.get_ints(name) for name in ("row_strides", "col_strides", "has_bias"))
    for kind, row_stride, col_stride, has_bias in zip(kinds, *lists, strict=True):
        values = node.inputs[at]
        assert values is not None
        found.append(values)
        sides = 2
        if kind == "block-diagonal":
            sides = int(row_stride == 0) + int(col_stride == 0)
        at += 1 + sides + int(has_bias != 0)
    return found
