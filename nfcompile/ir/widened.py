"""Products of half precision as products of fp32 between casts: a CPU has kernels for those only.

Y = BsrMatMul(X: fp16, values: fp16, ..)  ->  Y = Cast(BsrMatMul(Cast(X), fp32(values), ..))
"""

import onnx_ir as ir

from nfcompile.ir.half_floats import HALF_TYPES, widen
from nfcompile.ir.rewrite import add_constant, insert_before, main_graph, replace_node
from nfcompile.ir.schemas import DOMAIN, MATMULS

__all__ = ["widened"]

_PRODUCTS = {schema.name for schema in MATMULS.values()}
_VALUES = 1


def widened(model: ir.Model) -> ir.Model:
    """`model` itself, or where it has products of half precision a copy that computes in fp32.

    Args:
        model: A compiled model; not changed, its other weights are shared with the copy.
    """
    if not any(map(_is_half, ir.traversal.RecursiveGraphIterator(model.graph))):
        return model
    copy = model.clone()
    values: dict[ir.Value, ir.Value] = {}
    for node in list(ir.traversal.RecursiveGraphIterator(copy.graph)):
        if _is_half(node):
            _widen(node, values)
    return copy


def _is_half(node: ir.Node) -> bool:
    if node.domain != DOMAIN or node.op_type not in _PRODUCTS or node.inputs[0] is None:
        return False
    return node.inputs[0].dtype in HALF_TYPES


def _widen(node: ir.Node, values: dict[ir.Value, ir.Value]) -> None:
    inputs: list[ir.Value | None] = []
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype not in HALF_TYPES:
            inputs.append(value)
        elif index == _VALUES:
            assert value.const_value is not None
            if value not in values:
                wide = widen(value.const_value.numpy())
                values[value] = add_constant(main_graph(value), f"{value.name}.wide", wide)
            inputs.append(values[value])
        else:
            cast = _cast(value, ir.DataType.FLOAT)
            insert_before(node, cast)
            inputs.append(cast.outputs[0])
    y = node.outputs[0]
    assert node.inputs[0] is not None and node.inputs[0].dtype is not None
    product = ir.node(node.op_type, inputs, dict(node.attributes), domain=DOMAIN, name=node.name)
    product.outputs[0].shape, product.outputs[0].type = y.shape, ir.TensorType(ir.DataType.FLOAT)
    insert_before(node, product)
    replace_node(node, _cast(product.outputs[0], node.inputs[0].dtype))


def _cast(value: ir.Value, dtype: ir.DataType) -> ir.Node:
    node = ir.node("Cast", [value], {"to": int(dtype)})
    node.outputs[0].shape, node.outputs[0].type = value.shape, ir.TensorType(dtype)
    return node
