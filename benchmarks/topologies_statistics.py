"""What scipy lacks: Holm's correction, and rank correlation within groups."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from nfcompile.study.statistics import Estimate

__all__ = ["difference", "holm", "pooled_correlation", "ranks"]

_PERMUTATIONS = 20000


def difference(first: Estimate, second: Estimate) -> tuple[float, float, float]:
    """First minus second mean, half of its 95 % interval, and the p-value, by Welch's test."""
    delta = first.mean - second.mean
    if len({*first.samples}) == len({*second.samples}) == 1:  # no spread to compare it with
        return delta, 0.0, float(delta == 0)
    found = stats.ttest_ind(first.samples, second.samples, equal_var=False)
    interval = found.confidence_interval()
    return delta, float(interval.high - interval.low) / 2, float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, by Holm."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    worst = 0.0
    for position, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = worst
    return [float(p) for p in adjusted]


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from -1 to 1 with mean zero, equal for equal values."""
    return (stats.rankdata(values) - (len(values) + 1) / 2) / max(1, (len(values) - 1) / 2)


def pooled_correlation(
    groups: Iterable[tuple[Sequence[float], Sequence[float]]],
) -> tuple[float, float, int]:
    """Rank correlation within groups, joined.

    Args:
        groups: Pairs of values, which are ranked within their group. Groups of fewer than three,
            or with one constant side, say nothing and are left out.

    Returns:
        The correlation, its p-value by permuting within groups, and the number of pairs.
    """
    ranked = [
        (ranks(first), ranks(second))
        for first, second in groups
        if len(first) > 2 and len(set(first)) > 1 and len(set(second)) > 1
    ]
    if not ranked:
        return math.nan, math.nan, 0
    first = np.concatenate([r[0] for r in ranked])
    second = np.concatenate([r[1] for r in ranked])
    norm = math.sqrt(float(first @ first) * float(second @ second))
    rng = np.random.default_rng(0)
    permuted = np.concatenate(
        [rng.permuted(np.tile(r[1], (_PERMUTATIONS, 1)), axis=1) for r in ranked], axis=1
    )
    observed = abs(float(first @ second))
    extreme = int((np.abs(permuted @ first) >= observed - 1e-12).sum())
    return float(first @ second) / norm, (extreme + 1) / (_PERMUTATIONS + 1), len(first)
