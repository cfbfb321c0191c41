"""Monarch: two block-diagonal factors with a transpose between them (Dao et al., ICML 2022)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.digit_cascade import DigitCascade
from nfcompile.topology.digits import Step
from nfcompile.topology.radices import rectangular

__all__ = ["Monarch"]


@dataclass(frozen=True)
class Monarch(DigitCascade):
    """Two digits, each mixed once: the butterfly of radix `sqrt(n)`, with `2 n^1.5` weights.

    Where `n` is no square, its two factors are as close as they can be. Where they are far apart
    it is nearly dense: `n = 2 p` with a prime `p` has the digits 2 and p, so `n (p + 2)` weights,
    more than half of the dense layer's.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
    """

    name: ClassVar[str] = "monarch"

    def __post_init__(self) -> None:
        """Refuses prime widths."""
        super().__post_init__()
        self.digits()

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """Two digits of about the square root of the width."""
        before, after = _halves(self.n), _halves(self.out_features)
        if self.out is None:
            return before, tuple(enumerate(before))
        return rectangular(before, after)

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """The one that there is, if it fits."""
        try:
            found = cls(in_features, out=out_features)
        except InputError:
            return
        if found.edges <= edges:
            yield found


def _halves(n: int) -> tuple[int, int]:
    small = next(factor for factor in range(math.isqrt(n), 0, -1) if n % factor == 0)
    if small == 1:
        raise InputError(f"monarch width must be a product of two integers above 1, got {n}")
    return small, n // small
