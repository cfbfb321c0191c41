"""Pixelfly: a flat block butterfly plus low rank (Dao et al., ICLR 2022)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from scipy.sparse import csr_array, kron

from nfcompile.errors import InputError
from nfcompile.topology.checks import check_size
from nfcompile.topology.digits import mix_digits
from nfcompile.topology.neighbours import neighbour_mask
from nfcompile.topology.topology import Mask, Sized

__all__ = ["Pixelfly"]


@dataclass(frozen=True)
class Pixelfly(Sized):
    """One mask of blocks, the union of all radix-2 butterfly factors, and a low-rank branch.

    Block row i of `g` is joined to block columns i and `i xor 2^b`. That alone does not join all
    pairs; the low-rank branch does. Where widths differ, the pattern repeats along the wider.

    Attributes:
        n: Width; `in` and `out` in text where they differ.
        block: Edge of the blocks; the smaller width holds a power of two of them.
        rank: Width of the low-rank branch; 0 for none.
    """

    name: ClassVar[str] = "pixelfly"

    n: int
    block: int = 32
    rank: int = 0

    def __post_init__(self) -> None:
        """Refuses widths that the blocks do not fill."""
        super().__post_init__()
        check_size(self.name, "block", self.block, at_least=1)
        check_size(self.name, "rank", self.rank, at_least=0)
        narrow, wide = sorted((self.n, self.out_features))
        grid = narrow // self.block
        if narrow % self.block or grid & (grid - 1):
            raise InputError(
                f"{self.name} width {narrow} must be block={self.block} times a power of two"
            )
        if wide % narrow:
            raise InputError(f"{self.name} width {wide} must be a multiple of the other, {narrow}")
        if self.rank > narrow:
            raise InputError(
                f"{self.name} rank must be at most the smaller width {narrow}, got {self.rank}"
            )

    @cached_property
    def edges(self) -> int:
        """Number of weights, without building a mask."""
        blocks_per_row = (min(self.n, self.out_features) // self.block).bit_length()
        flat = max(self.n, self.out_features) * self.block * blocks_per_row
        return flat + self.rank * (self.n + self.out_features)

    @cached_property
    def depth(self) -> int:
        """Two factors with the low-rank branch, one without."""
        return 2 if self.rank else 1

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output, those of both branches together."""
        middle = [self.out_features + self.rank] if self.rank else []
        return [self.n, *middle, self.out_features]

    def build(self) -> list[list[Mask]]:
        """The block mask, and the low-rank pair if there is one."""
        flat = [self._flat()]
        if not self.rank:
            return [flat]
        return [flat, mix_digits((self.n,), ((0, self.rank), (0, self.out_features)))]

    def _flat(self) -> Mask:
        rows, columns = self.out_features // self.block, self.n // self.block
        grid = min(rows, columns)
        cube = neighbour_mask([2] * (grid.bit_length() - 1))
        copies = np.ones((rows // grid, columns // grid), np.int64)
        ones = np.ones((self.block, self.block), np.int64)
        mask = csr_array(kron(kron(copies, cube, "csr"), ones, "csr"))
        mask.sort_indices()
        return mask

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """For each block size, as much rank as the budget allows; at least one."""
        narrow = min(in_features, out_features)
        for block in (1 << exponent for exponent in range(narrow.bit_length())):
            try:
                flat = cls(in_features, block, out=out_features)
            except InputError:
                continue
            rank = min((edges - flat.edges) // (in_features + out_features), narrow)
            if rank >= 1:
                yield cls(in_features, block, rank, out=out_features)
