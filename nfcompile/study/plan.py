"""Which topologies a sweep compares, and whether that can be done: checked before any work."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nfcompile.data import load
from nfcompile.errors import InputError
from nfcompile.study.reconstruction import WIDEST
from nfcompile.topology import Topology
from nfcompile.topology.fit import TOLERANCE, fit_all

__all__ = ["check_dataset", "check_scorable", "plan"]


def plan(
    in_features: int,
    out_features: int,
    budgets: Sequence[int],
    named: Sequence[Topology] = (),
    *,
    per_kind: int = 1,
    both_skips: bool = True,
) -> dict[int, list[Topology]]:
    """Groups of topologies to compare, by their budget of edges, in rising order.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        budgets: The most weights that are allowed, one number per group.
        named: More topologies, put into the groups whose budget they use, at most an eighth
            less; where there is none, into one of their own number of edges.
        per_kind: At most so many of each kind in a group.
        both_skips: Whether each one is taken with and without a skip, where widths are equal.

    Raises:
        InputError: If nothing fits a budget.
    """
    groups = {
        budget: fit_all(in_features, out_features, budget, per_kind=per_kind) for budget in budgets
    }
    for topology in named:
        fitting = [b for b in budgets if (1 - TOLERANCE) * b <= topology.edges <= b]
        for budget in fitting or [topology.edges]:
            groups.setdefault(budget, []).append(topology)
    if both_skips and in_features == out_features:
        groups = {
            budget: [replace(item, skip=skip) for item in group for skip in (False, True)]
            for budget, group in groups.items()
        }
    return {budget: list(dict.fromkeys(groups[budget])) for budget in sorted(groups)}


def check_dataset(name: str, folder: Path | None, in_features: int) -> None:
    """Checks that a data set is there and fits a layer, before any work is done.

    Raises:
        InputError: If it is unknown, missing or broken, or has more features than the layer.
        EngineMissingError: If a package that it needs is not installed.
    """
    features = load(name, folder).features
    if features > in_features:
        raise InputError(
            f"layers must have at least the {features} inputs of {name}, got {in_features}"
        )


def check_scorable(in_features: int, out_features: int) -> None:
    """Checks that a layer is narrow enough to be scored, before any work is done.

    Raises:
        InputError: If it is too wide.
    """
    if max(in_features, out_features) > WIDEST:
        raise InputError(
            f"a score takes widths up to {WIDEST}, got {in_features} to {out_features}: "
            "use topology sweep with --no-score"
        )
