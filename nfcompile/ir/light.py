"""A model as a proto without its weights, for what onnx itself does with models."""

import onnx
import onnx_ir as ir

from nfcompile.ir.foreign_types import restore_types
from nfcompile.ir.protobuf import skeleton

__all__ = ["light_proto"]

_KEPT = 1024
"""Bytes up to which constants stay: shape inference needs those that are shapes."""


def light_proto(model: ir.Model) -> onnx.ModelProto:
    """The model with inputs in the place of weights, and of defaults that a caller may replace."""
    hidden = {
        name: value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
        and (value.is_graph_input() or value.const_value.nbytes > _KEPT)
    }
    proto = skeleton(model, hidden)
    for name, value in hidden.items():
        if not value.is_graph_input():
            assert value.const_value is not None
            kind, dims = value.const_value.dtype.value, list(value.const_value.shape.numpy())
            proto.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, dims))
    return restore_types(model, proto)
