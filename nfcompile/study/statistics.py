"""Statistics of few samples: means with intervals, what differs, and what ranks alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["Estimate", "RankCorrelation", "rank_correlation", "significant_difference"]

_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """The mean of independent samples and its confidence interval.

    Attributes:
        samples: At least one.
        mean: Of the samples.
        low: Lower end of the 95 % interval by Student's t; the mean itself for one sample.
        high: Upper end.
        count: Number of samples.
    """

    samples: tuple[float, ...]
    mean: float = field(init=False)
    low: float = field(init=False)
    high: float = field(init=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        """Computes what follows from the samples."""
        count, mean, half = len(self.samples), float(np.mean(self.samples)), 0.0
        if count > 1:
            half = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1) * stats.sem(self.samples))
        found = {"mean": mean, "low": mean - half, "high": mean + half, "count": count}
        for name, value in found.items():
            object.__setattr__(self, name, value)


def significant_difference(estimates: Sequence[Estimate]) -> float:
    """Fisher's least significant difference between two of several means, at the 5 % level.

    The variance of a sample is pooled over all estimates; 0 if none has more than one sample.
    """
    groups = [item.samples for item in estimates if item.count > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    variance = sum((len(group) - 1) * np.var(group, ddof=1) for group in groups) / freedom
    count = min(map(len, groups))
    return float(stats.t.ppf((1 + _LEVEL) / 2, freedom) * math.sqrt(2 * variance / count))


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation.

    Attributes:
        rho: From -1 to 1; not a number if either side is constant.
        p_value: Of no correlation, by permutation where there are few pairs.
        count: Number of pairs.
    """

    rho: float
    p_value: float
    count: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Spearman's rank correlation of pairs; not a number below three of them."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(math.nan, math.nan, len(first))
    # Pearson's correlation of the ranks, for all permutations at once.
    one, other = (stats.rankdata(values) - (len(first) + 1) / 2 for values in (first, second))
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))

    def statistic(permuted: Any, axis: int = -1) -> Any:
        return np.sum(permuted * other, axis=axis) / scale

    found = stats.permutation_test(
        (one,), statistic, permutation_type="pairings", vectorized=True, n_resamples=50_000, rng=0
    )
    return RankCorrelation(float(found.statistic), float(found.pvalue), len(first))
