"""The torus: each factor joins an index to itself and its neighbours on a grid that wraps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from nfcompile.errors import InputError
from nfcompile.topology.checks import check_size
from nfcompile.topology.neighbours import crop, neighbour_mask
from nfcompile.topology.radices import factorizations
from nfcompile.topology.topology import Mask, Sized

__all__ = ["Torus", "grid_variants"]

T = TypeVar("T", bound=Sized)


@dataclass(frozen=True)
class Torus(Sized):
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
            check_size(self.name, "layers", self.layers, at_least=1)
        assert self.sides

    @property
    def sides(self) -> tuple[int, ...]:
        """Lengths of the grid's dimensions."""
        width = max(self.n, self.out_features)
        grids = [sides for sides in factorizations(width) if len(sides) == self.dims]
        if not grids:
            raise InputError(
                f"{self.name} width {width} must be a product of dims={self.dims} integers above 1"
            )
        return min(grids, key=sum)

    def branches(self) -> list[list[Mask]]:
        """The same mask, once per factor."""
        sides = self.sides
        layers = self.layers or sum(side // 2 for side in sides)
        return [crop([neighbour_mask(sides)] * layers, self.n, self.out_features)]

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """For each number of dimensions, as many factors as the budget allows."""
        for dims in range(1, max(in_features, out_features).bit_length()):
            try:
                yield from grid_variants(cls(in_features, dims, out=out_features), edges)
            except InputError:
                continue


def grid_variants(found: T, edges: int) -> Iterator[T]:
    """The topology with as many equal factors as the budget allows, if it joins every pair."""
    import dataclasses

    if found.edges > edges:
        return
    yield found
    largest = max(mask.nnz for mask in found.branches()[0])
    more = (edges - found.edges) // largest
    if more:
        yield dataclasses.replace(found, layers=found.depth + more)  # type: ignore[call-arg]
