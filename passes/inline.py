"""Inlines the model's own functions, so that the layers in them are seen.

A function has no constants of its own that passes could change:

    y = local.Layer(x)   ->   y = MatMul(x, w)        Layer(a) => (b) { b = MatMul(a, w) }
"""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.inlining import inline_functions
from nfcompile.ir.pass_base import Pass

__all__ = ["InlinePass"]


@dataclass(frozen=True)
class InlinePass(Pass):
    """Inlines every function whose operators mean the same where it is called."""

    name: ClassVar[str] = "inline"

    def run(self, model: ir.Model) -> int:
        """Inlines in the main graph, its bodies, and functions that stay."""
        changed, kept = inline_functions(model)
        for function, reason in kept.items():
            self.remark(model, "missed", function, f"stays a function: {reason}")
        return int(changed)
