"""Values of types that numpy has no name for, to ONNX Runtime and back.

`InferenceSession.run` takes and gives arrays of numpy's own types, and lists of them. bfloat16, the
eight-bit floats and integers below eight bits pass as `OrtValue`: their bytes, packed as ONNX packs
them, read here as arrays of `ml_dtypes`.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

__all__ = ["describe", "fed", "is_narrow_type", "run_narrow"]


def is_narrow_type(onnx_type: str) -> bool:
    """Whether a type as ONNX Runtime spells it, such as `tensor(bfloat16)`, is none of numpy's."""
    return any(name in onnx_type for name in ("bfloat16", "float8", "float4", "int4", "int2"))


def fed(value: Any) -> Any:
    """`value` as `InferenceSession.run` takes it; only what numpy itself knows stays an array."""
    return _from_narrow(value) if _is_narrow(value) else value


def run_narrow(session: Any, names: list[str], inputs: Mapping[str, Any]) -> list[Any]:
    """What `session.run` gives, of a model whose outputs are tensors and some of them narrow."""
    feeds = {name: _to_ort_value(value) for name, value in inputs.items()}
    return [_to_numpy(value) for value in session.run_with_ort_values(names, feeds)]


def describe(value: Any) -> str:
    """The shape of an array, or what it is instead, for messages."""
    if isinstance(value, list):
        return f"of {len(value)} items"
    return str(list(value.shape)) if isinstance(value, np.ndarray) else type(value).__name__


def _is_narrow(value: Any) -> bool:
    """Whether `value` is an array of a type that numpy did not bring."""
    return isinstance(value, np.ndarray) and value.dtype.isbuiltin == 2


def _to_ort_value(value: Any) -> Any:
    from onnxruntime import OrtValue

    if _is_narrow(value):
        return _from_narrow(value)
    return _strings(value) if value.dtype.kind in "OUS" else OrtValue.ortvalue_from_numpy(value)


def _strings(array: np.ndarray) -> Any:
    """Strings as an `OrtValue`, which only a model can make."""
    from onnxruntime import InferenceSession

    node = onnx.helper.make_node("Constant", [], ["y"], value=onnx.numpy_helper.from_array(array))
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.STRING, array.shape)
    graph = onnx.helper.make_graph([node], "strings", [], [output])
    opsets = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run_with_ort_values(None, {})[0]


def _from_narrow(array: np.ndarray) -> Any:
    from onnxruntime import OrtValue

    proto = onnx.numpy_helper.from_array(array)
    value = OrtValue.ortvalue_from_shape_and_type(array.shape, int(proto.data_type))
    ctypes.memmove(value.data_ptr(), proto.raw_data, len(proto.raw_data))
    return value


def _to_numpy(value: Any) -> np.ndarray:
    if not is_narrow_type(value.data_type()):
        return np.asarray(value.numpy())
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    proto = onnx.TensorProto(data_type=value.element_type(), dims=value.shape(), raw_data=raw)
    return onnx.numpy_helper.to_array(proto)
