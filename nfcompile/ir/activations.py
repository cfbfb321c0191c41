"""Recognizes an activation by what it computes, not by how it is spelled.

Exporters write GELU or SiLU as one node, or as any of several chains. Here the elementwise region
that starts at a value and closes in one other is evaluated on a grid, and compared with each
activation of our operators. LeakyRelu, Elu, Clip, Min and Max have parameters and are read from
their node.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from nfcompile.ir.linear import constant
from nfcompile.ir.reference import activate

__all__ = ["Activation", "match_activation"]

_ELEMENTWISE = {
    "Add", "Div", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Mul", "Neg", "Pow",
    "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Swish", "Tanh",
}  # fmt: skip
_FIXED = ("relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "hard_swish")
_MAX_NODES = 12
_GRID = np.concatenate(
    [np.linspace(-9, 9, 721), *(sign * np.logspace(-8, 8, 49) for sign in (-1, 1))]
).astype(np.float32)
_TOLERANCES = {ir.DataType.FLOAT: 4e-6, ir.DataType.FLOAT16: 1e-3, ir.DataType.BFLOAT16: 4e-3}
"""Of the larger of input and output, by the type of the constants, whose rounding moves the whole.

GELU and its tanh form differ by up to 5e-4: what is closest is taken.
"""


@dataclass(frozen=True)
class Activation:
    """An activation found in a graph.

    Attributes:
        name: One of `schemas.ACTIVATIONS`.
        nodes: The nodes that compute it, in order; the last gives its result.
        alpha: First parameter.
        beta: Second parameter.
    """

    name: str
    nodes: tuple[ir.Node, ...]
    alpha: float = 0.0
    beta: float = 0.0


def match_activation(value: ir.Value, opset_imports: dict[str, int]) -> Activation | None:
    """The activation applied to `value`, if all its uses belong to that one.

    Args:
        value: What the activation is applied to.
        opset_imports: Versions of the operator sets of the model.
    """
    uses = {use.node for use in value.uses()}
    producer = value.producer()
    if not uses or value.is_graph_output() or producer is None:
        return None
    if any(node.graph is not producer.graph for node in uses):
        return None  # read inside a branch or a loop
    if len(uses) == 1 and (found := _parametric(next(iter(uses)), value)):
        return found
    region: list[ir.Node] = []
    values = {value}
    while len(region) < _MAX_NODES:
        node = _next(value, values, region)
        if node is None:
            return None
        region.append(node)
        values.add(node.outputs[0])
        exits = [item for item in values if _is_open(item, region)]
        if exits == [node.outputs[0]] and (name := _recognize(value, region, opset_imports)):
            return Activation(name, tuple(region))
    return None


def _parametric(node: ir.Node, value: ir.Value) -> Activation | None:
    if node.domain != "" or node.inputs[0] is not value:
        return None
    if node.op_type == "LeakyRelu":
        return Activation("leaky_relu", (node,), node.attributes.get_float("alpha", 0.01))
    if node.op_type == "Elu":
        return Activation("elu", (node,), node.attributes.get_float("alpha", 1.0))
    low: float | None = -np.inf
    high: float | None = np.inf
    if node.op_type == "Clip":
        low, high = _bound(node, 1, -np.inf), _bound(node, 2, np.inf)
    elif node.op_type == "Max" and len(node.inputs) == 2 and _is_scalar(node.inputs[1], value):
        low = _bound(node, 1, -np.inf)
    elif node.op_type == "Min" and len(node.inputs) == 2 and _is_scalar(node.inputs[1], value):
        high = _bound(node, 1, np.inf)
    else:
        return None
    if low is None or high is None:
        return None
    return Activation("clip", (node,), low, high)


def _bound(node: ir.Node, index: int, default: float) -> float | None:
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None:
        return default
    tensor = constant(value)
    return None if tensor is None else float(tensor.numpy().item())


def _next(start: ir.Value, values: set[ir.Value], region: list[ir.Node]) -> ir.Node | None:
    """A node outside the region that computes from its values and scalar constants only."""
    for value in values:
        for use in value.uses():
            node = use.node
            if node in region or node.domain != "" or node.op_type not in _ELEMENTWISE:
                continue
            if region and node.graph is not region[0].graph:
                continue
            if all(item in values or _is_scalar(item, start) for item in node.inputs):
                return node
    return None


def _is_scalar(value: ir.Value | None, like: ir.Value) -> bool:
    """Whether `value` is one constant number that does not raise the rank of `like`."""
    tensor = constant(value)
    if tensor is None or tensor.size != 1 or tensor.dtype not in _TOLERANCES:
        return False
    return len(tensor.shape) <= (0 if like.shape is None else len(like.shape))


def _is_open(value: ir.Value, region: list[ir.Node]) -> bool:
    outside = any(use.node not in region for use in value.uses())
    return outside or value.is_graph_output() or not value.uses()


def _recognize(value: ir.Value, region: list[ir.Node], opset_imports: dict[str, int]) -> str | None:
    nodes = [ir.to_proto(node) for node in region]
    scalars = {
        item.name: np.asarray(tensor.numpy(), np.float32).reshape(())
        for node in region
        for item in node.inputs
        if item is not None and (tensor := constant(item)) is not None
    }
    graph = onnx.helper.make_graph(
        nodes,
        "region",
        [onnx.helper.make_empty_tensor_value_info(str(name)) for name in (value.name, *scalars)],
        [onnx.helper.make_empty_tensor_value_info(nodes[-1].output[0])],
    )
    opsets = [onnx.helper.make_opsetid("", opset_imports.get("", 18))]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
    kinds = {tensor.dtype for node in region for item in node.inputs if (tensor := constant(item))}
    tolerance = max((_TOLERANCES[kind] for kind in kinds), default=_TOLERANCES[ir.DataType.FLOAT])
    near = [np.float32(c) + step for c in scalars.values() for step in (-1, -0.1, 0, 0.1, 1)]
    grid = np.concatenate([_GRID, np.array(near, np.float32), -np.array(near, np.float32)])
    with np.errstate(all="ignore"):
        result = evaluator.run(None, {value.name: grid, **scalars})[0].astype(np.float64)
        wide = grid.astype(np.float64)
        errors = {name: _error(result, activate(wide, name), wide) for name in _FIXED}
    closest = min(errors, key=lambda name: errors[name])
    return closest if errors[closest] <= tolerance else None


def _error(result: np.ndarray, expected: np.ndarray, grid: np.ndarray) -> float:
    """The largest difference, as a share of the larger of input and output; NaN is infinite."""
    scale = np.maximum(np.abs(grid), np.abs(expected))
    difference = np.abs(result - expected)
    ratios = np.where(difference == 0, 0, difference / scale)
    return float(np.nan_to_num(ratios, nan=np.inf).max())
