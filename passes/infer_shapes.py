"""Infers the types and shapes of all values, which other passes ask for."""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.pass_base import Pass
from nfcompile.ir.shape_inference import infer_shapes

__all__ = ["InferShapesPass"]


@dataclass(frozen=True)
class InferShapesPass(Pass):
    """Runs ONNX's own inference and takes over what it finds."""

    name: ClassVar[str] = "infer-shapes"

    def run(self, model: ir.Model) -> int:
        """Sets what was not known, and counts it."""
        return infer_shapes(model)
