"""A topology out of any masks, for what no kind can be."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_array

from nfcompile.topology import Topology


@dataclass(frozen=True, eq=False)
class Handmade(Topology):
    name: ClassVar[str] = "handmade"
    cascades: list

    @property
    def in_features(self):
        return self.cascades[0][0].shape[1]

    @property
    def out_features(self):
        return self.cascades[0][-1].shape[0]

    def build(self):
        return self.cascades

    @classmethod
    def variants(cls, in_features, out_features, edges):
        return iter(())


@pytest.fixture
def handmade():
    """Makes a topology of one cascade of dense 0/1 arrays, or of several given as lists."""

    def make(*branches, skip=False):
        branches = branches if isinstance(branches[0], list) else [list(branches)]
        cascades = [[csr_array(np.asarray(m, np.int64)) for m in branch] for branch in branches]
        return Handmade(cascades, skip=skip)

    return make
