"""Normalization over the features, as one operator or as exporters spell it.

y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + bias      layer norm
y = x / sqrt(mean(x^2) + epsilon) * scale                                     root mean square
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from nfcompile.ir.linear import constant, scalar

__all__ = ["Norm", "match_norm"]

_DEFAULT_EPSILON = 1e-5
_OPERATORS = {"LayerNormalization": "layer-norm", "RMSNormalization": "rms-norm"}


@dataclass(frozen=True)
class Norm:
    """A view of the nodes that normalize one value; nothing else sees what is between them.

    Attributes:
        kind: `layer-norm` or `rms-norm`.
        nodes: Its nodes, the last to run first.
        reader: One that reads x, and as which of its inputs.
        scale: Constant of shape (features,), float32.
        bias: The same, or None.
        epsilon: What is added to the variance.
    """

    kind: str
    nodes: tuple[ir.Node, ...]
    reader: tuple[ir.Node, int]
    scale: ir.Value
    bias: ir.Value | None
    epsilon: float

    @property
    def x(self) -> ir.Value:
        """What is normalized, (..., features)."""
        node, index = self.reader
        value = node.inputs[index]
        assert value is not None
        return value


def match_norm(last: ir.Node) -> Norm | None:
    """The norm whose result `last` gives, if there is one."""
    if last.domain:
        return None
    found = _operator(last) if last.op_type in _OPERATORS else _spelled(last)
    if found is None or not _fits(found):
        return None
    inner = set(found.nodes)
    if any(node.graph is not last.graph for node in inner):
        return None
    for node in found.nodes[1:]:
        for value in node.outputs:
            if value.is_graph_output() or any(use.node not in inner for use in value.uses()):
                return None
    return found


def _operator(node: ir.Node) -> Norm | None:
    x, scale, bias = (*node.inputs, None, None)[:3]
    axis = node.attributes.get_int("axis", -1)
    rank = None if x is None or x.shape is None else len(x.shape)
    if scale is None or axis not in (-1, None if rank is None else rank - 1):
        return None
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return None
    epsilon = node.attributes.get_float("epsilon", _DEFAULT_EPSILON)
    return Norm(_OPERATORS[node.op_type], (node,), (node, 0), scale, bias, epsilon)


def _spelled(last: ir.Node) -> Norm | None:
    for scaled, bias in _with_constant(last, "Add"):
        found = _scaled(scaled, bias, (last,))
        if found is not None:
            return found
    return _scaled(last.outputs[0], None, ()) if last.op_type == "Mul" else None


def _scaled(value: ir.Value, bias: ir.Value | None, nodes: tuple[ir.Node, ...]) -> Norm | None:
    node = value.producer()
    for normal, scale in _with_constant(node, "Mul"):
        assert node is not None
        for numerator, root in _quotients(normal):
            found = _quotient(numerator, root, scale, bias)
            if found is not None:
                return Norm(
                    found.kind, (*nodes, node, *found.nodes), found.reader, scale, bias,
                    found.epsilon,
                )  # fmt: skip
    return None


def _quotients(value: ir.Value) -> Iterator[tuple[tuple[ir.Node, int], list[ir.Node]]]:
    """Ways to read `value` as a quotient.

    Yields:
        Who reads the numerator and as which input; the nodes from the quotient down to the Sqrt.
    """
    node = value.producer()
    if node is None or node.domain:
        return
    if node.op_type == "Div":
        yield (node, 0), [node, *_nodes(node.inputs[1])]
    elif node.op_type == "Mul":
        for index in (0, 1):
            inverse = _nodes(node.inputs[1 - index])
            if not inverse:
                continue
            if inverse[0].op_type == "Reciprocal":
                yield (node, index), [node, inverse[0], *_nodes(inverse[0].inputs[0])]
            elif inverse[0].op_type == "Div" and scalar(inverse[0].inputs[0]) == 1:
                yield (node, index), [node, inverse[0], *_nodes(inverse[0].inputs[1])]


def _quotient(
    numerator: tuple[ir.Node, int], down: list[ir.Node], scale: ir.Value, bias: ir.Value | None
) -> Norm | None:
    """The norm whose numerator and root are these, without its scale."""
    root = down[-1]
    if root.op_type != "Sqrt" or len(down) < 2:
        return None
    for variance, epsilon in _with_constant(_producer(root.inputs[0]), "Add"):
        add, mean = _producer(root.inputs[0]), variance.producer()
        square = None if mean is None else _mean_of(mean)
        reader = None if square is None else _squared(square)
        size = scalar(epsilon)
        if add is None or mean is None or reader is None or size is None:
            continue
        nodes = [*down, add, mean, reader[0]]
        of, seen = numerator[0].inputs[numerator[1]], reader[0].inputs[reader[1]]
        if of is seen and (centered := _centered(of)):
            nodes += centered
            return Norm("layer-norm", tuple(nodes), (centered[0], 0), scale, bias, size)
        first, second = _centered(of), _centered(seen)
        if first and second and first[0].inputs[0] is second[0].inputs[0]:
            nodes += [first[0], *second] if first[1] is second[1] else [*first, *second]
            return Norm("layer-norm", tuple(nodes), (first[0], 0), scale, bias, size)
        if of is seen:
            return Norm("rms-norm", tuple(nodes), numerator, scale, bias, size)
    return None


def _centered(value: ir.Value | None) -> list[ir.Node]:
    """The Sub and the ReduceMean of x - mean(x); none where `value` is not that."""
    sub = _producer(value)
    if sub is None or sub.op_type != "Sub":
        return []
    mean = _producer(sub.inputs[1])
    if mean is None or _mean_of(mean) is not sub.inputs[0]:
        return []
    return [sub, mean]


def _mean_of(node: ir.Node) -> ir.Value | None:
    """What a node averages over its last axis, which it keeps."""
    if node.domain or node.op_type != "ReduceMean" or not node.attributes.get_int("keepdims", 1):
        return None
    axes = list(node.attributes.get_ints("axes", ()))
    if len(node.inputs) > 1:
        given = constant(node.inputs[1])
        axes = [] if given is None else [int(axis) for axis in given.numpy().ravel()]
    x = node.inputs[0]
    rank = None if x is None or x.shape is None else len(x.shape)
    return x if axes in ([-1], [None if rank is None else rank - 1]) else None


def _squared(value: ir.Value) -> tuple[ir.Node, int] | None:
    """Who reads what is squared."""
    node = _producer(value)
    if node is None:
        return None
    if node.op_type == "Pow" and scalar(node.inputs[1]) == 2:
        return node, 0
    return (node, 0) if node.op_type == "Mul" and node.inputs[0] is node.inputs[1] else None


def _with_constant(node: ir.Node | None, op_type: str) -> Iterator[tuple[ir.Value, ir.Value]]:
    """The two operands of a node, the constant one second."""
    if node is None or node.domain or node.op_type != op_type:
        return
    first, second = node.inputs
    for value, other in ((first, second), (second, first)):
        if value is not None and constant(other) is not None:
            assert other is not None
            yield value, other


def _nodes(value: ir.Value | None) -> list[ir.Node]:
    node = _producer(value)
    return [] if node is None else [node]


def _producer(value: ir.Value | None) -> ir.Node | None:
    node = None if value is None else value.producer()
    return None if node is None or node.domain else node


def _fits(norm: Norm) -> bool:
    """Whether x is float32, and scale and bias are rows of all its features."""
    shape = norm.x.shape
    features = None if shape is None or not len(shape) else shape[-1]
    rows = [norm.scale] if norm.bias is None else [norm.scale, norm.bias]
    tensors = [constant(row) for row in rows]
    return (
        norm.x.dtype == ir.DataType.FLOAT
        and isinstance(features, int)
        and all(
            tensor is not None
            and tensor.dtype == ir.DataType.FLOAT
            and np.array_equal(tensor.shape.numpy(), [features])
            for tensor in tensors
        )
    )
