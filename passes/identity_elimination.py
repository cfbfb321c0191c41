"""Removes nodes that copy.

Identity of a value that another graph owns, or of an input as an output, has to stay.

    f(Identity(x))   ->   f(x)
"""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.identities import eliminate_identities
from nfcompile.ir.pass_base import Pass

__all__ = ["IdentityEliminationPass"]


@dataclass(frozen=True)
class IdentityEliminationPass(Pass):
    """Removes each Identity whose result can take the place of its operand, or the reverse."""

    name: ClassVar[str] = "identity-elimination"

    def run(self, model: ir.Model) -> int:
        """Removes them from the main graph and its bodies."""
        return eliminate_identities(model)
