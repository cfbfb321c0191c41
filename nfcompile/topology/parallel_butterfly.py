"""Parallel butterflies: several on one input, summed, each with its own digit order."""

from dataclasses import dataclass
from typing import ClassVar

from scipy.sparse import block_diag, csr_array, hstack, vstack

from nfcompile.errors import InputError
from nfcompile.topology.checks import check_size
from nfcompile.topology.digits import digit_mask, digit_orders, radices
from nfcompile.topology.topology import Mask, Topology

__all__ = ["ParallelButterfly"]


@dataclass(frozen=True)
class ParallelButterfly(Topology):
    """`parallel` butterflies of width `n`: exactly `parallel` paths for each pair.

    Attributes:
        n: Width.
        radix: Inputs per output in each factor of a branch.
        parallel: Number of branches, and of paths from each input to each output.
        skip: Whether the input is added to the output.
    """

    name: ClassVar[str] = "parallel-butterfly"

    n: int
    radix: int
    parallel: int = 2
    skip: bool = True

    def __post_init__(self) -> None:
        """Refuses sizes that have no factorization, and branches that would add nothing."""
        check_size(self.name, "n", self.n, at_least=2)
        check_size(self.name, "radix", self.radix, at_least=2)
        check_size(self.name, "parallel", self.parallel, at_least=1)
        if not isinstance(self.skip, bool):
            raise InputError(f"{self.name} skip must be true or false, got {self.skip!r}")
        if len(self.radices) == 1 and self.parallel > 1:
            raise InputError(
                f"{self.name} of n={self.n} at radix={self.radix} has one dense factor, and "
                f"{self.parallel} of them in parallel are one: choose a smaller radix"
            )

    @property
    def radices(self) -> tuple[int, ...]:
        """The digits' sizes, least significant first."""
        return radices(self.n, self.radix)

    @property
    def edges(self) -> int:
        """Number of weights: `parallel * n` times the sum of the radices."""
        return self.parallel * self.n * sum(self.radices)

    def branches(self) -> list[list[Mask]]:
        """The butterflies one by one, each mixing its digits in another order."""
        masks = [digit_mask(self.radices, digit) for digit in range(len(self.radices))]
        orders = digit_orders(len(masks), self.parallel)
        return [[masks[digit] for digit in order] for order in orders]

    def factors(self) -> list[Mask]:
        """The branches stacked: `[p n, n]` first, block-diagonal between, `[n, p n]` last."""
        if self.parallel == 1:
            return self.branches()[0]
        first, *middle, last = zip(*self.branches(), strict=True)
        stacked = [vstack(first), *(block_diag(masks) for masks in middle), hstack(last)]
        return [csr_array(mask) for mask in stacked]
