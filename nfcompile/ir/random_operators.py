"""Operators whose results differ from run to run."""

import numpy as np
import onnx_ir as ir

from nfcompile.ir.linear import constant

__all__ = ["is_random"]

_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
           "Multinomial"}  # fmt: skip


def is_random(node: ir.Node) -> bool:
    """Whether `node` draws random numbers that no seed fixes."""
    if node.domain not in ("", "ai.onnx") or "seed" in node.attributes:
        return False
    return node.op_type in _RANDOM or (node.op_type == "Dropout" and _trains(node))


def _trains(node: ir.Node) -> bool:
    """Whether a Dropout drops anything; up to opset 11 it has no such mode."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    tensor = constant(mode)
    return tensor is None or bool(np.any(tensor.numpy()))
