"""Whether a model computes in floats of 16 bits or fewer, and so only to their accuracy."""

import ml_dtypes
import numpy as np
import onnx_ir as ir

__all__ = ["HALF_TYPES", "has_half_floats", "widen"]

HALF_TYPES = {ir.DataType.FLOAT16: "fp16", ir.DataType.BFLOAT16: "bf16"}
"""Types of half precision by what options and tables call them."""

_HALF_DTYPES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def has_half_floats(model: ir.Model) -> bool:
    """Whether any value or constant of the model is a float narrower than 32 bits."""
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    computed = (value.dtype for node in nodes for value in (*node.inputs, *node.outputs) if value)
    given = (value.dtype for value in (*model.graph.inputs, *model.graph.outputs))
    return any(_is_half(kind) for kinds in (given, computed) for kind in kinds)


def widen(values: np.ndarray) -> np.ndarray:
    """Values of half precision as fp32, which holds each of them exactly; others as they are."""
    return values.astype(np.float32) if values.dtype in _HALF_DTYPES else values


def _is_half(kind: ir.DataType | None) -> bool:
    return kind is not None and kind.is_floating_point() and kind.bitwidth <= 16
