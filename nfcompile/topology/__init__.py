"""Fixed topologies of sparse layers: values that generate their masks; numpy and scipy only."""

from nfcompile.topology.butterfly import Butterfly
from nfcompile.topology.parallel_butterfly import ParallelButterfly
from nfcompile.topology.text import KINDS, parse
from nfcompile.topology.topology import Mask, Topology

__all__ = ["KINDS", "Butterfly", "Mask", "ParallelButterfly", "Topology", "parse"]
