"""ONNX Runtime's dense layer on CUDA, inputs and outputs on the device: with what a node costs."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ort_dense"]


def ort_dense(torch: Any, weight: np.ndarray, kind: str) -> Callable[[Any], Any]:
    """A call of one MatMul.

    Args:
        torch: The module.
        weight: (out, in), fp32.
        kind: Type of the activations and of the weight there: `f32`, `f16` or `bf16`.

    Raises:
        RuntimeError: If onnxruntime has no provider for CUDA.
    """
    import onnx
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError("onnxruntime has no CUDAExecutionProvider")
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    proto = onnx.TensorProto
    element = {"f32": proto.FLOAT, "f16": proto.FLOAT16, "bf16": proto.BFLOAT16}[kind]
    out, inside = weight.shape
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
    constant = onnx.numpy_helper.from_array(weight.T.astype(dtype), "w")
    infos = [
        onnx.helper.make_tensor_value_info(name, element, ["batch", size])
        for name, size in (("x", inside), ("y", out))
    ]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "dense", infos[:1], infos[1:], [constant])
    opsets = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CUDAExecutionProvider"]
    )

    def call(x: Any) -> Any:
        y = torch.empty((len(x), out), dtype=x.dtype, device=x.device)
        binding = session.io_binding()
        binding.bind_input("x", "cuda", 0, element, tuple(x.shape), x.data_ptr())
        binding.bind_output("y", "cuda", 0, element, tuple(y.shape), y.data_ptr())
        session.run_with_iobinding(binding)
        return y

    return call
