"""Passes that ask what layers cost."""

from dataclasses import dataclass, field
from typing import ClassVar

from nfcompile.cost.measured import LayerTimer
from nfcompile.ir.pass_base import Pass
from nfcompile.target import Target

__all__ = ["CostedPass"]


@dataclass(frozen=True)
class CostedPass(Pass):
    """Base of passes that decide by cost.

    Attributes:
        target: Where the model will run: `ort-cpu`, `ort-cuda` or `portable`.
        threads: Threads per inference that costs are for; 0 for all of this machine.
        precision: Of sparse weights: `fp32` or `bf16`.
        timer: Measures layers; None leaves everything to estimates. It has no text form: the
            compiler gives it to the passes of a pipeline.
    """

    name: ClassVar[str]
    target: str = "ort-cpu"
    threads: int = 0
    precision: str = "fp32"
    timer: LayerTimer | None = field(
        default=None, kw_only=True, repr=False, compare=False, metadata={"text": False}
    )

    def where(self) -> Target:
        """What costs are asked for."""
        return Target.host(self.target, self.threads or None, self.precision)
