"""The butterfly: one factor per digit, exactly one path from each input to each output."""

from dataclasses import dataclass
from typing import ClassVar

from nfcompile.topology.checks import check_size
from nfcompile.topology.digits import digit_mask, radices
from nfcompile.topology.topology import Mask, Topology

__all__ = ["Butterfly"]


@dataclass(frozen=True)
class Butterfly(Topology):
    """A butterfly of width `n`: factor `l` joins indices that differ only in digit `l`.

    Where `n` is no power of `radix`, one digit has another size: n=2048 at radix 4 has the
    digits 4, 4, 4, 4, 4, 2. At radix `sqrt(n)` it is a Monarch matrix.

    Attributes:
        n: Width.
        radix: Inputs per output in each factor.
    """

    name: ClassVar[str] = "butterfly"
    skip: ClassVar[bool] = False  # type: ignore[misc]

    n: int
    radix: int

    def __post_init__(self) -> None:
        """Refuses sizes that have no factorization."""
        check_size(self.name, "n", self.n, at_least=2)
        check_size(self.name, "radix", self.radix, at_least=2)
        radices(self.n, self.radix)

    @property
    def radices(self) -> tuple[int, ...]:
        """The digits' sizes, which are the factors' fan-ins in order of application."""
        return radices(self.n, self.radix)

    @property
    def edges(self) -> int:
        """Number of weights: `n` times the sum of the radices."""
        return self.n * sum(self.radices)

    def factors(self) -> list[Mask]:
        """One `[n, n]` mask per digit, least significant first."""
        return [digit_mask(self.radices, digit) for digit in range(len(self.radices))]

    def branches(self) -> list[list[Mask]]:
        """The one cascade that a butterfly is."""
        return [self.factors()]
