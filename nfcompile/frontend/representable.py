"""Brings a model into the form that onnx-ir has for it, without changing what it means.

Constant<sparse_value>()   ->   Constant<value>()           as ONNX Runtime does too
types of maps              ->   set aside, put back when the model is written
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.foreign_types import graphs, has_foreign_types, set_aside_types

__all__ = ["representable"]


def representable(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """`proto`, or a copy that onnx-ir can read, and entries for the `meta` of what it reads.

    Raises:
        UnsupportedModelError: If a body has a sparse initializer.
    """
    for graph in graphs(proto.graph):
        if graph is not proto.graph and graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise UnsupportedModelError(
                f"graph {graph.name} has sparse_initializer {name}, which is not read there: "
                "export it dense"
            )
    sparse = any(_sparse_constants(proto))
    if not sparse and not has_foreign_types(proto):
        return proto, {}
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in _sparse_constants(copy):
        value = onnx.numpy_helper.from_array(_dense(node.attribute[0].sparse_tensor))
        node.attribute[0].CopyFrom(onnx.helper.make_attribute("value", value))
    return copy, set_aside_types(copy)


def _sparse_constants(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for owner in (proto.graph, *proto.functions):
        for node in (node for graph in graphs(owner) for node in graph.node):
            given = [attribute.name for attribute in node.attribute]
            if node.op_type == "Constant" and given == ["sparse_value"]:
                yield node


def _dense(sparse: onnx.SparseTensorProto) -> np.ndarray:
    """A sparse tensor in full; its indices are linear, or one row of coordinates per value."""
    values = onnx.numpy_helper.to_array(sparse.values)
    indices = onnx.numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 2:
        dense[tuple(indices.T)] = values
    else:
        dense.reshape(-1)[indices] = values
    return dense
