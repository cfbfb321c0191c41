"""What the torus and the hypercube share: equal factors over a grid that wraps."""

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from nfcompile.topology.checks import MOST_REPEATS
from nfcompile.topology.neighbours import crop, neighbour_mask
from nfcompile.topology.topology import Mask, Sized

__all__ = ["Grid", "grid_variants"]


@dataclass(frozen=True)
class Grid(Sized):
    """`depth` equal factors, each joining a point of the grid to itself and its neighbours.

    Where `in` and `out` differ, the grid has the larger width and the surplus points are left
    out. Subclasses have a field `layers`, the number of factors.
    """

    @property
    @abstractmethod
    def sides(self) -> tuple[int, ...]:
        """Lengths of the grid's dimensions, each at least 2."""

    @cached_property
    def depth(self) -> int:
        """Number of factors; by default what the farthest pair needs, `sum(side // 2)`."""
        layers: int | None = getattr(self, "layers", None)
        return layers or sum(side // 2 for side in self.sides)

    @property
    def degree(self) -> int:
        """Entries per row and per column of a factor: both neighbours are one at side 2."""
        return 1 + sum(1 if side == 2 else 2 for side in self.sides)

    @cached_property
    def edges(self) -> int:
        """Number of weights, without building a mask.

        A factor has `degree` for each neuron of its narrower end. Only the inputs of the first and
        the outputs of the last may be fewer than the points of the grid.
        """
        # At depth 1 this is n - max(n, out) + out, the smaller of both.
        return self.degree * (self.n + (self.depth - 2) * self._points + self.out_features)

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output."""
        return [self.n, *[self._points] * (self.depth - 1), self.out_features]

    @property
    def _points(self) -> int:
        return max(self.n, self.out_features)

    def build(self) -> list[list[Mask]]:
        """The same mask, once per factor."""
        return [crop([neighbour_mask(self.sides)] * self.depth, self.n, self.out_features)]


G = TypeVar("G", bound=Grid)


def grid_variants(found: G, edges: int) -> Iterator[G]:
    """The topology with as many equal factors as the budget allows, if it joins every pair."""
    if found.edges > edges:
        return
    yield found
    more = (edges - found.edges) // (found.degree * max(found.in_features, found.out_features))
    layers = min(found.depth + more, MOST_REPEATS)
    if layers > found.depth:
        yield dataclasses.replace(found, layers=layers)  # type: ignore[call-arg]
