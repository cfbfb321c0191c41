"""What topologies that mix digits share: their masks and edges follow from a list of steps."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

from nfcompile.topology.digits import Step, digit_edges, digit_widths, mix_digits
from nfcompile.topology.topology import Mask, Sized

__all__ = ["DigitCascade"]


@dataclass(frozen=True)
class DigitCascade(Sized):
    """One cascade whose factors each mix one digit of the index."""

    @abstractmethod
    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """Sizes of the input's digits, least significant first, and the steps in order."""

    def build(self) -> list[list[Mask]]:
        """One cascade of one factor per step."""
        return [mix_digits(*self.digits())]

    @cached_property
    def edges(self) -> int:
        """Number of weights, without building a mask."""
        return digit_edges(*self.digits())

    @cached_property
    def depth(self) -> int:
        """Number of factors."""
        return len(self.digits()[1])

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output."""
        return digit_widths(*self.digits())
