"""The dense layer, as a topology: what all others are compared with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.topology.digit_cascade import DigitCascade
from nfcompile.topology.digits import Step

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(DigitCascade):
    """Every input joined to every output, in one factor: one digit, mixed once.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
    """

    name: ClassVar[str] = "dense"

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """One digit of the whole width."""
        return (self.n,), ((0, self.out_features),)

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """The dense layer, where the budget allows it."""
        if in_features * out_features <= edges:
            yield cls(in_features, out=out_features)
