"""What a pass is: a frozen dataclass that rewrites a model in place and says what it did."""

import abc
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.remarks import Kind, Remark, add_remark

__all__ = ["Pass"]


class Pass(ir.passes.InPlacePass):
    """Base of all passes of this project.

    A subclass is a frozen dataclass whose fields are its options, documented and with defaults.
    The model is valid before and after.

    Attributes:
        name: Kebab-case name in the pipeline text.
    """

    name: ClassVar[str]

    @abc.abstractmethod
    def run(self, model: ir.Model) -> int:
        """Rewrites `model` and returns how many rewrites were made."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass for onnx-ir's pass infrastructure."""
        return ir.passes.PassResult(model, modified=self.run(model) > 0)

    def remark(self, model: ir.Model, kind: Kind, subject: str | None, reason: str) -> None:
        """Records why something was or was not done to `subject`."""
        add_remark(model, Remark(self.name, kind, subject or "(unnamed)", reason))
