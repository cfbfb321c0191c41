"""The hypercube: each factor joins an index to itself and to those that differ in one bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.checks import MOST_REPEATS, check_size
from nfcompile.topology.grid import Grid, grid_variants

__all__ = ["Hypercube"]


@dataclass(frozen=True)
class Hypercube(Grid):
    """`layers` equal factors: i to i and to each `i xor 2^b`; paths are unequal.

    The self-loop lets pairs at an odd and at an even distance be joined by the same number of
    factors. Where `in` and `out` differ, the larger one is the cube and the rest is left out.

    Attributes:
        n: Width; `in` and `out` in text where they differ; the larger is a power of two.
        layers: Number of factors; None for `log2(n)`, the fewest that join every pair.
    """

    name: ClassVar[str] = "hypercube"

    n: int
    layers: int | None = None

    def __post_init__(self) -> None:
        """Refuses widths that are no power of two."""
        super().__post_init__()
        if self.layers is not None:
            check_size(self.name, "layers", self.layers, at_least=1, at_most=MOST_REPEATS)
        width = max(self.n, self.out_features)
        if width & (width - 1):
            below = 1 << (width.bit_length() - 1)
            raise InputError(
                f"{self.name} width must be a power of two, got {width}; "
                f"the nearest are {below} and {2 * below}"
            )

    @property
    def sides(self) -> tuple[int, ...]:
        """As a grid: one dimension of length 2 per bit."""
        return (2,) * (max(self.n, self.out_features).bit_length() - 1)

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """As many factors as the budget allows, at least one per bit."""
        try:
            yield from grid_variants(cls(in_features, out=out_features), edges)
        except InputError:
            return
