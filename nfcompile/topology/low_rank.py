"""Low rank: two dense factors around a narrow middle."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.checks import check_size
from nfcompile.topology.digit_cascade import DigitCascade
from nfcompile.topology.digits import Step

__all__ = ["LowRank"]


@dataclass(frozen=True)
class LowRank(DigitCascade):
    """`n -> rank -> n`, both dense: `rank` paths for each pair, but only `rank` signals pass.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        rank: Width of the middle, at most the smaller of the two ends.
    """

    name: ClassVar[str] = "low-rank"

    rank: int

    def __post_init__(self) -> None:
        """Refuses a middle wider than an end."""
        super().__post_init__()
        check_size(self.name, "rank", self.rank, at_least=1)
        widest = min(self.n, self.out_features)
        if self.rank > widest:
            raise InputError(
                f"{self.name} rank must be at most the smaller width {widest}, got {self.rank}"
            )

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """One digit, mixed twice."""
        return (self.n,), ((0, self.rank), (0, self.out_features))

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """The largest rank that the budget allows."""
        rank = min(edges // (in_features + out_features), in_features, out_features)
        if rank >= 1:
            yield cls(in_features, rank, out=out_features)
