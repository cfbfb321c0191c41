"""What a good topology has to have, each requirement with the number that decides it.

All six requirements, and the limits that decide them, are this project's own.
"""

import math
from dataclasses import dataclass

import numpy as np

from nfcompile.topology.bandwidth import bandwidth
from nfcompile.topology.paths import path_counts
from nfcompile.topology.topology import Topology

__all__ = ["Requirement", "requirements"]

_SAMPLE = 1024
_SAME = 1e-9


@dataclass(frozen=True)
class Requirement:
    """One requirement and whether a topology meets it.

    Attributes:
        name: Of the requirement.
        met: Whether it is met.
        value: The number that decides it.
        text: The number in words, with the limit.
    """

    name: str
    met: bool
    value: float
    text: str


def requirements(topology: Topology) -> list[Requirement]:
    """Judges a topology without data and without weights.

    Paths are counted from all inputs, or from 1,024 random ones where there are more.

    Args:
        topology: What to judge; the skip counts for the gradient path alone.

    Returns:
        Six requirements: reachability, bandwidth, equal paths, depth, path diversity, gradient
        path.
    """
    width = topology.in_features
    inputs = None
    if width > _SAMPLE:
        inputs = np.random.default_rng(0).choice(width, _SAMPLE, replace=False)
    counts = path_counts(topology, inputs)
    sampled = "" if inputs is None else f" ({_SAMPLE} inputs sampled)"
    fewest, most = float(counts.min()), float(counts.max())
    reached = float((counts > 0).mean())
    narrow = min(topology.in_features, topology.out_features)
    passed = bandwidth(topology)
    limit = max(1, math.ceil(math.log2(max(topology.in_features, topology.out_features))))
    deviation = float(counts.std() / counts.mean()) if most else 0.0
    equal = most - fewest <= _SAME * most
    paths = f"{_count(most)}" if equal else f"{_count(fewest)} to {_count(most)}"
    skip = topology.skip
    return [
        Requirement(
            "reachability", reached == 1, reached, f"{reached:.4%} of pairs joined{sampled}"
        ),
        Requirement(
            "bandwidth", passed >= narrow, passed, f"{passed} of {narrow} signals pass every cut"
        ),
        Requirement(
            "equal paths",
            equal and fewest > 0,
            deviation,
            f"{paths} paths per pair, deviation {deviation:.2f} of the mean",
        ),
        Requirement(
            "depth", topology.depth <= limit, topology.depth, f"{topology.depth} factors, limit "
            f"{limit} = log2 of the width"
        ),
        Requirement("path diversity", fewest >= 2, fewest, f"at least {_count(fewest)} per pair"),
        Requirement("gradient path", skip, float(skip), "a skip" if skip else "no skip"),
    ]  # fmt: skip


def _count(value: float) -> str:
    return f"{value:.0f}" if value < 1e6 else f"{value:.1e}"
