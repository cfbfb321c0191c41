"""Random regular factors: the union of permutations that share no entry."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from nfcompile.errors import InputError
from nfcompile.topology.checks import MOST_REPEATS, check_size
from nfcompile.topology.random_masks import biregular_mask
from nfcompile.topology.topology import Mask, Sized

__all__ = ["RandomRegular", "RandomSized"]


@dataclass(frozen=True)
class RandomSized(Sized):
    """What cascades of random factors share: a degree, a seed, and their number.

    Between the two ends all widths are the smaller one of them, `narrow`. By default there is one
    factor more than a tree of this degree needs to reach all of these,
    `ceil(log_degree narrow) + 1`, or a single one where that is dense; few paths mean that some
    pairs may still stay apart.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        degree: Entries per row of each factor.
        seed: Of the random choices.
        layers: Number of factors; None for the default.
    """

    n: int
    degree: int
    seed: int = 0
    layers: int | None = None

    def __post_init__(self) -> None:
        """Refuses degrees above the width."""
        super().__post_init__()
        check_size(self.name, "degree", self.degree, at_least=2)
        check_size(self.name, "seed", self.seed, at_least=0)
        narrow = min(self.n, self.out_features)
        if self.degree > narrow:
            raise InputError(
                f"{self.name} degree must be at most the smaller width {narrow}, got {self.degree}"
            )
        if self.layers is not None:
            check_size(self.name, "layers", self.layers, at_least=1, at_most=MOST_REPEATS)

    @cached_property
    def edges(self) -> int:
        """Number of weights, without building a mask."""
        return sum(self.entries(*shape) for shape in self.shapes())

    @cached_property
    def depth(self) -> int:
        """Number of factors."""
        return len(self.shapes())

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output."""
        return [self.n, *(rows for rows, _ in self.shapes())]

    @abstractmethod
    def entries(self, rows: int, columns: int) -> int:
        """Number of entries of a factor of this shape."""

    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each factor."""
        narrow = min(self.n, self.out_features)
        layers = self.layers or self._default_layers(narrow)
        widths = [self.n, *[narrow] * (layers - 1), self.out_features]
        return [(widths[i + 1], widths[i]) for i in range(layers)]

    def _default_layers(self, narrow: int) -> int:
        if self.entries(self.out_features, self.n) == self.out_features * self.n:
            return 1
        reach, reached = 1, self.degree
        while reached < narrow:
            reach, reached = reach + 1, reached * self.degree
        return reach + 1

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """All degrees that the budget allows."""
        for degree in range(2, min(in_features, out_features)):
            found = cls(in_features, degree, out=out_features)
            if found.edges <= edges:
                yield found
            elif found.edges > 2 * edges:
                return


@dataclass(frozen=True)
class RandomRegular(RandomSized):
    """Each factor is the union of `degree` random permutations without a common entry.

    Where widths differ, each neuron of the wider side has `degree` partners, spread evenly over
    the other side.
    """

    name: ClassVar[str] = "random"

    def entries(self, rows: int, columns: int) -> int:
        """`degree` for each neuron of the wider side."""
        return max(rows, columns) * self.degree

    def build(self) -> list[list[Mask]]:
        """One cascade; each factor has a random stream of its own."""
        return [
            [
                biregular_mask(*shape, self.degree, np.random.default_rng([self.seed, index]))
                for index, shape in enumerate(self.shapes())
            ]
        ]
