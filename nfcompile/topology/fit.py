"""Which topologies fit an edge budget: one or more of each kind, best first."""

from collections.abc import Iterable, Iterator

from nfcompile.errors import InputError
from nfcompile.topology.checks import MOST_ENTRIES, WIDEST, check_size
from nfcompile.topology.kinds import KINDS
from nfcompile.topology.topology import Topology

__all__ = ["fit", "fit_all"]

TOLERANCE = 0.125
"""How far below the budget still counts as equal."""


def fit(kind: type[Topology], in_features: int, out_features: int, edges: int) -> list[Topology]:
    """Members of one kind that use an edge budget, at most an eighth less.

    Args:
        kind: One of `KINDS`.
        in_features: Number of inputs.
        out_features: Number of outputs.
        edges: The most weights that are allowed.

    Returns:
        Best first: those that narrow the signals least, then shallow ones before deep ones, then
        those closer to the budget. Empty if none fits.

    Raises:
        InputError: If a width or the budget is out of bounds.
    """
    _check(in_features, out_features, edges)
    close = [
        found
        for found in kind.variants(in_features, out_features, edges)
        if found.edges >= (1 - TOLERANCE) * edges
    ]
    narrow = min(in_features, out_features)

    def worse(found: Topology) -> tuple[int, int, int]:
        return -min(narrow, *found.layer_widths), found.depth, -found.edges

    return sorted(close, key=worse)


def fit_all(
    in_features: int,
    out_features: int,
    edges: int,
    *,
    kinds: Iterable[type[Topology]] = tuple(KINDS.values()),
    per_kind: int = 1,
) -> list[Topology]:
    """The best members of each kind within a budget.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        edges: The most weights that are allowed.
        kinds: Which kinds to look at.
        per_kind: At most so many of each, no two with the same number of factors.

    Raises:
        InputError: If nothing fits, or a width or the budget is out of bounds.
    """
    _check(in_features, out_features, edges)
    found = [
        member
        for kind in kinds
        for member in _first_of_depth(fit(kind, in_features, out_features, edges), per_kind)
    ]
    if not found:
        raise InputError(
            f"no topology from {in_features} to {out_features} has {edges} edges or up to "
            f"{TOLERANCE:.0%} fewer; a dense layer has {in_features * out_features}, "
            f"low rank 1 has {in_features + out_features}"
        )
    return found


def _check(in_features: int, out_features: int, edges: int) -> None:
    check_size("topology", "in", in_features, at_least=2, at_most=WIDEST)
    check_size("topology", "out", out_features, at_least=2, at_most=WIDEST)
    check_size("topology", "edges", edges, at_least=1, at_most=MOST_ENTRIES)
    if edges > in_features * out_features:
        raise InputError(
            f"edges must be at most the {in_features * out_features} of the dense layer from "
            f"{in_features} to {out_features}, got {edges}"
        )


def _first_of_depth(found: Iterable[Topology], count: int) -> Iterator[Topology]:
    depths: set[int] = set()
    for member in found:
        if len(depths) == count:
            return
        if member.depth not in depths:
            depths.add(member.depth)
            yield member
