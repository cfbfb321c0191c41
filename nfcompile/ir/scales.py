"""Values that are another one times a number, past nodes that change nothing."""

import math

import onnx_ir as ir

from nfcompile.ir.linear import scalar
from nfcompile.ir.shape_inference import known_dims

__all__ = ["changes_nothing", "unchanged", "unscaled"]

_USUAL = (1e-6, 1e6)  # factors whose product is within the range of fp32


def unscaled(value: ir.Value | None) -> tuple[float, ir.Value | None]:
    """`value` as a factor times another value, past Casts that change nothing."""
    value = unchanged(value)
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type not in ("Mul", "Div"):
        return 1.0, value
    first, second = (_scalar(operand) for operand in node.inputs)
    if second is not None:
        factor, inner = unscaled(node.inputs[0])
        return (factor * second if node.op_type == "Mul" else factor / second), inner
    if first is not None and node.op_type == "Mul":
        factor, inner = unscaled(node.inputs[1])
        return factor * first, inner
    return 1.0, value


def _scalar(value: ir.Value | None) -> float | None:
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Sqrt" and not node.domain:
        squared = scalar(node.inputs[0])
        number = None if squared is None or squared < 0 else math.sqrt(squared)
    else:
        number = scalar(value)
    return number if number and _USUAL[0] < abs(number) < _USUAL[1] else None


def unchanged(value: ir.Value | None) -> ir.Value | None:
    """What `value` is before nodes that change nothing."""
    node = None if value is None else value.producer()
    if node is None or not changes_nothing(node):
        return value
    return unchanged(node.inputs[0])


def changes_nothing(node: ir.Node) -> bool:
    """Whether it is a Cast to the same type, or a Reshape to the same shape."""
    x = node.inputs[0] if node.inputs else None
    if x is None or node.domain:
        return False
    if node.op_type == "Reshape":
        return bool(known_dims(x)) and known_dims(x) == known_dims(node.outputs[0])
    to = node.attributes.get_int("to", 0)
    return node.op_type == "Cast" and x.dtype == to == ir.DataType.FLOAT
