"""Infers types and shapes with ONNX's own inference, and takes over what it finds.

onnx-ir's pass takes every result for a tensor, and believes defaults of inputs that a caller may
replace. Here sequences and optionals keep their type, and such defaults are not shown.
"""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from nfcompile.ir.bodies import bodies
from nfcompile.ir.foreign_types import known_type
from nfcompile.ir.light import light_proto

__all__ = ["infer_shapes", "known_dims"]


def infer_shapes(model: ir.Model) -> int:
    """Infers what can be inferred in the main graph and its bodies, and counts what is new.

    Where an operator's inference fails, what does not depend on it is inferred all the same.
    """
    proto = light_proto(model)
    inferred = None
    for strict in (True, False):
        try:
            inferred = onnx.shape_inference.infer_shapes(
                proto, check_type=strict, strict_mode=strict, data_prop=True
            )
            break
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError):
            continue
    if inferred is None:
        return 0
    return sum(_take_over(graph, found) for graph, found in _pairs(model.graph, inferred.graph))


def known_dims(value: ir.Value | None) -> list[int | ir.SymbolicDim]:
    """The dimensions of a value; none where one is not known."""
    dims = [] if value is None or value.shape is None else list(value.shape)
    return [] if ir.SymbolicDim(None) in dims else dims


def _pairs(graph: ir.Graph, proto: onnx.GraphProto) -> Iterator[tuple[ir.Graph, onnx.GraphProto]]:
    """A graph and its bodies with the same in the proto."""
    yield graph, proto
    for node, node_proto in zip(graph, proto.node, strict=True):
        for body, body_proto in zip(bodies(node), _body_protos(node_proto), strict=True):
            yield from _pairs(body, body_proto)


def _body_protos(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _take_over(graph: ir.Graph, proto: onnx.GraphProto) -> int:
    found = {item.name: item.type for item in (*proto.value_info, *proto.output)}
    values = [*graph.outputs, *(value for node in graph for value in node.outputs)]
    count = 0
    for value in values:
        kind = found.get(str(value.name))
        if kind is not None and known_type(kind):
            count += _set(value, kind)
    return count


def _set(value: ir.Value, proto: onnx.TypeProto) -> bool:
    changed = False
    kind = ir.serde.deserialize_type_proto_for_type(proto)
    if value.type is None and kind is not None:
        value.type = kind
        changed = True
    shape = ir.serde.deserialize_type_proto_for_shape(proto)
    if shape is not None and shape != value.shape and type(value.type) is type(kind):
        value.shape = shape
        changed = True
    return changed
