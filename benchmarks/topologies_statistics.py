"""Tests on means that are known by their intervals, and correlations within budgets."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from nfcompile.study.summary import Estimate

__all__ = ["anova", "difference", "holm", "pooled_correlation", "ranks"]

_PERMUTATIONS = 20000


def deviation(found: Estimate) -> float:
    """The samples' standard deviation, from the 95 % interval of their mean."""
    quantile = stats.t.ppf(0.975, found.count - 1)
    return float((found.high - found.mean) / quantile * math.sqrt(found.count))


def difference(first: Estimate, second: Estimate) -> tuple[float, float, float]:
    """First minus second mean, half of its 95 % interval, and the p-value, by Welch's test."""
    (m1, s1, n1), (m2, s2, n2) = ((e.mean, deviation(e), e.count) for e in (first, second))
    v1, v2 = s1 * s1 / n1, s2 * s2 / n2
    if v1 + v2 == 0:
        return m1 - m2, 0.0, float(m1 == m2)
    freedom = (v1 + v2) ** 2 / (v1 * v1 / (n1 - 1) + v2 * v2 / (n2 - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(v1 + v2)
    p_value = 2 * stats.t.sf(abs(m1 - m2) / math.sqrt(v1 + v2), freedom)
    return m1 - m2, float(half), float(p_value)


def anova(groups: Sequence[Estimate]) -> float:
    """p-value of equal means, by one-way analysis of variance."""
    counts = np.array([g.count for g in groups])
    means = np.array([g.mean for g in groups])
    within = sum((g.count - 1) * deviation(g) ** 2 for g in groups)
    between = float((counts * (means - np.average(means, weights=counts)) ** 2).sum())
    free_between, free_within = len(groups) - 1, int(counts.sum()) - len(groups)
    f_value = (between / free_between) / (within / free_within)
    return float(stats.f.sf(f_value, free_between, free_within))


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
