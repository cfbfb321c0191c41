"""RadiX-Net: mixed-radix rolls, widened by Kronecker products (Robinett and Kepner, 2019)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from scipy.sparse import csr_array, kron

from nfcompile.errors import InputError
from nfcompile.topology.checks import WIDEST, check_size, check_sizes
from nfcompile.topology.neighbours import regular_csr
from nfcompile.topology.radices import factorizations
from nfcompile.topology.topology import Mask, Topology

__all__ = ["RadixNet"]


@dataclass(frozen=True)
class RadixNet(Topology):
    """Factor t joins node i of a ring of `prod(radices)` to `i + j v_t`, `j < radices[t]`.

    `v_t` is the product of the radices before. Then every node of layer t is replaced by
    `widths[t]` copies, all joined: `ones(widths[t + 1], widths[t]) kron ring`. Every pair has the
    same number of paths, the product of the inner widths.

    Attributes:
        radices: One per factor.
        widths: Copies of the ring in each layer of neurons, one more than there are factors;
            None for one each.
    """

    name: ClassVar[str] = "radix-net"

    radices: tuple[int, ...]
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuses lists that do not go together, or make layers too wide to be built."""
        sizes = check_sizes(self.name, "radices", self.radices, at_least=2)
        object.__setattr__(self, "radices", sizes)
        if self.widths is not None:
            widths = check_sizes(self.name, "widths", self.widths, at_least=1)
            object.__setattr__(self, "widths", None if set(widths) == {1} else widths)
            if len(widths) != len(sizes) + 1:
                raise InputError(
                    f"{self.name} widths must be one more than the {len(sizes)} radices, "
                    f"got {len(widths)}"
                )
        check_size(self.name, "width", max(self.layer_widths), at_least=2, at_most=WIDEST)
        super().__post_init__()

    @property
    def copies(self) -> tuple[int, ...]:
        """The widths, spelled out."""
        return self.widths or (1,) * (len(self.radices) + 1)

    @property
    def n(self) -> int:
        """Number of inputs."""
        return self.in_features

    @property
    def in_features(self) -> int:
        """Nodes of the ring times the first width."""
        return math.prod(self.radices) * self.copies[0]

    @property
    def out_features(self) -> int:
        """Nodes of the ring times the last width."""
        return math.prod(self.radices) * self.copies[-1]

    @cached_property
    def edges(self) -> int:
        """Number of weights, without building a mask."""
        return math.prod(self.radices) * sum(
            radix * self.copies[t] * self.copies[t + 1] for t, radix in enumerate(self.radices)
        )

    @cached_property
    def depth(self) -> int:
        """Number of factors."""
        return len(self.radices)

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output."""
        return [math.prod(self.radices) * copies for copies in self.copies]

    def build(self) -> list[list[Mask]]:
        """One cascade of one factor per radix."""
        ring = math.prod(self.radices)
        nodes = np.arange(ring, dtype=np.int64)[:, None]
        masks: list[Mask] = []
        place = 1
        for index, radix in enumerate(self.radices):
            rolled = regular_csr((nodes - np.arange(radix) * place) % ring, ring)
            ones = np.ones((self.copies[index + 1], self.copies[index]), np.int64)
            masks.append(csr_array(kron(ones, rolled, format="csr")))
            masks[-1].sort_indices()
            place *= radix
        return [masks]

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """Rings of the largest common width, inner layers as wide as the budget allows."""
        ring = math.gcd(in_features, out_features)
        if ring < 2:
            return
        ends = in_features // ring, out_features // ring
        for radices in factorizations(ring):
            for order in {radices, radices[::-1]}:
                copies = _widest(ring, order, ends, edges)
                if copies is not None:
                    yield cls(order, copies)


def _widest(
    ring: int, radices: tuple[int, ...], ends: tuple[int, int], edges: int
) -> tuple[int, ...] | None:
    """Inner widths that come close to the budget, as equal as they can be."""
    copies = [ends[0], *[min(ends)] * (len(radices) - 1), ends[1]]

    def cost(trial: list[int]) -> int:
        return ring * sum(r * trial[t] * trial[t + 1] for t, r in enumerate(radices))

    if cost(copies) > edges:
        return None
    # All inner widths grow together as far as they can, by halving; then one by one.
    step = WIDEST
    while len(radices) > 1 and step:
        trial = [copies[0], *(width + step for width in copies[1:-1]), copies[-1]]
        if max(trial) * ring <= WIDEST and cost(trial) <= edges:
            copies = trial
        else:
            step //= 2
    grown = True
    while grown:
        grown = False
        for index in sorted(range(1, len(radices)), key=copies.__getitem__):
            trial = list(copies)
            trial[index] += 1
            if trial[index] * ring <= WIDEST and cost(trial) <= edges:
                copies, grown = trial, True
    return tuple(copies)
