"""X-Net's random expander: each neuron picks its partners (Prabhu et al., ECCV 2018)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nfcompile.topology.random_masks import picked_mask
from nfcompile.topology.random_regular import RandomSized
from nfcompile.topology.topology import Mask

__all__ = ["Expander"]


@dataclass(frozen=True)
class Expander(RandomSized):
    """In each factor every neuron of the smaller side picks `degree` partners at random.

    Where the sides are equal the outputs pick, so all fan-ins are `degree` and the fan-outs are
    random: an input may be picked by no one.
    """

    name: ClassVar[str] = "expander"

    def entries(self, rows: int, columns: int) -> int:
        """`degree` for each neuron of the smaller side."""
        return min(rows, columns) * self.degree

    def build(self) -> list[list[Mask]]:
        """One cascade; each factor has a random stream of its own."""
        masks: list[Mask] = []
        for index, (rows, columns) in enumerate(self.shapes()):
            rng = np.random.default_rng([self.seed, index])
            if rows <= columns:
                masks.append(picked_mask(rows, columns, self.degree, rng))
            else:
                masks.append(picked_mask(columns, rows, self.degree, rng).T.tocsr())
        return [masks]
