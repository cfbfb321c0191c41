"""The torus: each factor joins an index to itself and its neighbours on a grid that wraps."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.checks import MOST_REPEATS, check_size
from nfcompile.topology.grid import Grid, grid_variants
from nfcompile.topology.radices import factorizations

__all__ = ["Torus"]


@dataclass(frozen=True)
class Torus(Grid):
    """`layers` equal factors over a grid of `dims` dimensions, its sides as equal as they can be.

    By default there are as many factors as the farthest pair needs: `sum(side // 2)`. Where `in`
    and `out` differ, the grid has the larger width and the surplus points are left out.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        dims: Number of dimensions.
        layers: Number of factors; None for the fewest that join every pair.
    """

    name: ClassVar[str] = "torus"

    n: int
    dims: int
    layers: int | None = None

    def __post_init__(self) -> None:
        """Refuses widths that are no product of as many sides."""
        super().__post_init__()
        check_size(self.name, "dims", self.dims, at_least=1)
        if self.layers is not None:
            check_size(self.name, "layers", self.layers, at_least=1, at_most=MOST_REPEATS)
        width = max(self.n, self.out_features)
        if self.dims not in _grids(width):
            raise InputError(
                f"{self.name} width {width} must be a product of dims={self.dims} integers above 1"
            )

    @property
    def sides(self) -> tuple[int, ...]:
        """Lengths of the grid's dimensions."""
        return _grids(max(self.n, self.out_features))[self.dims]

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """For each number of dimensions, as many factors as the budget allows."""
        for dims in range(1, max(in_features, out_features).bit_length()):
            try:
                yield from grid_variants(cls(in_features, dims, out=out_features), edges)
            except InputError:
                continue


@lru_cache(maxsize=16)
def _grids(width: int) -> dict[int, tuple[int, ...]]:
    """For each number of dimensions the sides that are as equal as they can be."""
    found: dict[int, tuple[int, ...]] = {}
    for sides in factorizations(width):
        best = found.get(len(sides))
        if best is None or sum(sides) < sum(best):
            found[len(sides)] = sides
    return found
