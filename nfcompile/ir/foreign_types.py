"""Types of inputs and outputs that onnx-ir has no form for: maps, and what is not told in full.

They are set aside when a model is read, by the name of the value, and put back when it is written.
"""

from collections.abc import Iterator
from typing import Any

import onnx
import onnx_ir as ir

__all__ = ["graphs", "has_foreign_types", "known_type", "restore_types", "set_aside_types"]

Types = dict[str, onnx.TypeProto]

_KEY = "nfcompile.foreign-types"


def has_foreign_types(proto: onnx.ModelProto) -> bool:
    """Whether `proto` has any."""
    return any(
        not known_type(info.type)
        for graph in graphs(proto.graph)
        for info in (*graph.input, *graph.output, *graph.value_info)
    )


def set_aside_types(proto: onnx.ModelProto) -> dict[str, Types]:
    """Takes such types out of `proto`: entries for the `meta` of the model that is made of it."""
    taken: Types = {}
    for graph in graphs(proto.graph):
        for info in (*graph.input, *graph.output):
            if info.HasField("type") and not known_type(info.type):
                taken[info.name] = onnx.TypeProto.FromString(info.type.SerializeToString())
                info.ClearField("type")
        kept = [info for info in graph.value_info if known_type(info.type)]
        if len(kept) < len(graph.value_info):
            kept = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in kept]
            del graph.value_info[:]
            graph.value_info.extend(kept)
    return {_KEY: taken} if taken else {}


def restore_types(model: ir.Model, proto: onnx.ModelProto) -> onnx.ModelProto:
    """Puts the types back that were set aside for `model` into `proto`, which is made of it."""
    taken: Types = model.meta.get(_KEY, {})
    if taken:
        for graph in graphs(proto.graph):
            for info in (*graph.input, *graph.output):
                if info.name in taken and not info.HasField("type"):
                    info.type.CopyFrom(taken[info.name])
    return proto


def graphs(graph: Any) -> Iterator[Any]:
    """A graph, or a function, and all bodies in it, as protos."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for body in attribute.graphs:
                yield from graphs(body)


def known_type(kind: onnx.TypeProto) -> bool:
    """Whether onnx-ir has a form for the type."""
    field = kind.WhichOneof("value")
    if field in ("tensor_type", "sparse_tensor_type"):
        return bool(getattr(kind, field).elem_type)
    if field in ("sequence_type", "optional_type"):
        return known_type(getattr(kind, field).elem_type)
    return field is None
