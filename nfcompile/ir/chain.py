"""Reading a `SparseChain` node: which of its operands belongs to which layer."""

import onnx_ir as ir

from nfcompile.ir.schemas import CHAIN, CONV_CHAIN, DOMAIN

__all__ = ["chain_weights", "computes_in_bf16", "is_chain"]


def is_chain(node: ir.Node) -> bool:
    """Whether `node` is a chain of our domain."""
    return node.domain == DOMAIN and node.op_type in (CHAIN.name, CONV_CHAIN.name)


def computes_in_bf16(model: ir.Model) -> bool:
    """Whether any of our operators has weights in bf16."""
    return any(
        value is not None and value.dtype == ir.DataType.BFLOAT16
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.domain == DOMAIN
        for value in node.inputs
    )


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
