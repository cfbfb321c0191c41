"""The list of all topologies, by the name that their text form begins with."""

from nfcompile.topology.butterfly import Butterfly
from nfcompile.topology.clos import Clos
from nfcompile.topology.dense import Dense
from nfcompile.topology.expander import Expander
from nfcompile.topology.hypercube import Hypercube
from nfcompile.topology.low_rank import LowRank
from nfcompile.topology.monarch import Monarch
from nfcompile.topology.parallel_butterfly import ParallelButterfly
from nfcompile.topology.pixelfly import Pixelfly
from nfcompile.topology.radix_net import RadixNet
from nfcompile.topology.random_regular import RandomRegular
from nfcompile.topology.topology import Topology
from nfcompile.topology.torus import Torus

__all__ = ["KINDS"]

KINDS: dict[str, type[Topology]] = {
    kind.name: kind
    for kind in (
        Dense,
        LowRank,
        Torus,
        Hypercube,
        Butterfly,
        Clos,
        RandomRegular,
        Expander,
        RadixNet,
        Monarch,
        Pixelfly,
        ParallelButterfly,
    )
}
