"""Parallel butterflies: several on one input, summed, each with its own digit order.

`L` digits have at most `L!` orders. Where there are more branches, orders start over on inputs that
are permuted at random: a butterfly still, and another one. (Of widths of 4 and 6 there are so few
butterflies that from the sixth branch on some repeat; dense layers are smaller there.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from scipy.sparse import csr_array

from nfcompile.errors import InputError
from nfcompile.topology.butterfly import butterfly_digits, butterfly_radices, check_radix
from nfcompile.topology.checks import MOST_REPEATS, check_size
from nfcompile.topology.digits import Step, digit_edges, digit_orders, digit_widths, mix_digits
from nfcompile.topology.radices import radices
from nfcompile.topology.topology import Mask, Sized

__all__ = ["ParallelButterfly"]


@dataclass(frozen=True)
class ParallelButterfly(Sized):
    """`parallel` butterflies of width `n`: exactly `parallel` paths for each pair.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        radix: Inputs per output in each factor of a branch, or one number per factor.
        parallel: Number of branches, and of paths from each input to each output.
        skip: Whether the input is added to the output; by default where widths are equal.
    """

    name: ClassVar[str] = "parallel-butterfly"

    radix: int | tuple[int, ...]
    parallel: int = 2
    skip: bool | None = field(default=None, kw_only=True)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Refuses sizes that have no factorization, and branches that would add nothing."""
        if self.skip is None:
            object.__setattr__(self, "skip", self.out in (None, self.n))
        super().__post_init__()
        object.__setattr__(self, "radix", check_radix(self.name, self.radix, self.out is not None))
        check_size(self.name, "parallel", self.parallel, at_least=1, at_most=MOST_REPEATS)
        if len(self.digits()[1]) == 1 and self.parallel > 1:
            raise InputError(
                f"{self.name} of n={self.n} at radix={self.radix} has one dense factor, and "
                f"{self.parallel} of them in parallel are one: choose a smaller radix"
            )

    @property
    def radices(self) -> tuple[int, ...]:
        """The digits' sizes where `in` and `out` are equal, least significant first."""
        return radices(self.n, self.radix, self.name)

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """The digits of the first branch, each mixed once; the others take another order."""
        return butterfly_digits(self.n, self.out_features, self.radix, self.name)

    def _orders(self) -> list[tuple[Step, ...]]:
        """The orders that differ; further branches start over, on relabeled inputs."""
        return digit_orders(*self.digits(), self.parallel)

    def _over_branches(self, per_order: list[int]) -> int:
        """The sum over all branches of what depends on a branch's order alone."""
        rounds, rest = divmod(self.parallel, len(per_order))
        return rounds * sum(per_order) + sum(per_order[:rest])

    def build(self) -> list[list[Mask]]:
        """The butterflies one by one, each with another order of its digits, or of its inputs."""
        sizes, _ = self.digits()
        orders = self._orders()
        branches = []
        for branch in range(self.parallel):
            masks = mix_digits(sizes, orders[branch % len(orders)])
            if branch >= len(orders):
                masks[0] = _relabeled(masks[0], branch)
            branches.append(masks)
        return branches

    @cached_property
    def edges(self) -> int:
        """Number of weights: `parallel * n` times the sum of the radices at equal widths."""
        sizes, _ = self.digits()
        return self._over_branches([digit_edges(sizes, order) for order in self._orders()])

    @cached_property
    def depth(self) -> int:
        """Number of factors of a branch."""
        return len(self.digits()[1])

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output, those of all branches together."""
        sizes, _ = self.digits()
        widths = [digit_widths(sizes, order)[1:-1] for order in self._orders()]
        inner = [self._over_branches(list(layer)) for layer in zip(*widths, strict=True)]
        return [self.n, *inner, self.out_features]

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """For each radix, as many branches as the budget allows; at least two."""
        for radix in butterfly_radices(in_features, out_features):
            one = cls(in_features, radix, 1, out=out_features)
            parallel = min(edges // one.edges, MOST_REPEATS)
            while parallel > 1:
                found = cls(in_features, radix, parallel, out=out_features)
                if found.edges <= edges:
                    yield found
                    break
                parallel -= 1


def _relabeled(mask: Mask, branch: int) -> Mask:
    """The mask on inputs in another order, which is random but always the same for a branch."""
    columns = np.random.default_rng(branch).permutation(mask.shape[1])
    moved: Mask = csr_array((mask.data, columns[mask.indices], mask.indptr), shape=mask.shape)
    moved.sort_indices()
    return moved
