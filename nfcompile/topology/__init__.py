"""Fixed topologies of sparse layers: values that generate their masks; numpy and scipy only."""

from nfcompile.topology.butterfly import Butterfly
from nfcompile.topology.clos import Clos
from nfcompile.topology.dense import Dense
from nfcompile.topology.expander import Expander
from nfcompile.topology.fit import fit_all
from nfcompile.topology.hypercube import Hypercube
from nfcompile.topology.jacobian import jacobian_rank
from nfcompile.topology.kinds import KINDS
from nfcompile.topology.low_rank import LowRank
from nfcompile.topology.monarch import Monarch
from nfcompile.topology.parallel_butterfly import ParallelButterfly
from nfcompile.topology.paths import path_counts
from nfcompile.topology.pixelfly import Pixelfly
from nfcompile.topology.radix_net import RadixNet
from nfcompile.topology.random_regular import RandomRegular
from nfcompile.topology.text import parse
from nfcompile.topology.topology import Mask, Topology
from nfcompile.topology.torus import Torus
from nfcompile.topology.variance import effective_variance

__all__ = [
    "KINDS",
    "Butterfly",
    "Clos",
    "Dense",
    "Expander",
    "Hypercube",
    "LowRank",
    "Mask",
    "Monarch",
    "ParallelButterfly",
    "Pixelfly",
    "RadixNet",
    "RandomRegular",
    "Topology",
    "Torus",
    "effective_variance",
    "fit_all",
    "jacobian_rank",
    "parse",
    "path_counts",
]
