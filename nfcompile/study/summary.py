"""What a sweep found: means with confidence intervals, and how well the heuristic predicted."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

__all__ = [
    "Estimate",
    "Outcome",
    "RankCorrelation",
    "estimate",
    "outcomes",
    "rank_correlation",
    "significant_difference",
]

_LEVEL = 0.95
METRICS = ("l2", "l1", "l0", "rank")


@dataclass(frozen=True)
class Estimate:
    """A mean and its confidence interval.

    Attributes:
        mean: Of the samples.
        low: Lower end of the 95 % interval by Student's t; the mean itself for one sample.
        high: Upper end.
        count: Number of samples.
    """

    mean: float
    low: float
    high: float
    count: int


def estimate(samples: Sequence[float]) -> Estimate:
    """Mean and 95 % confidence interval of independent samples, of which there is at least one."""
    mean = float(np.mean(samples))
    half = 0.0
    if len(samples) > 1:
        half = float(stats.t.ppf((1 + _LEVEL) / 2, len(samples) - 1) * stats.sem(samples))
    return Estimate(mean, mean - half, mean + half, len(samples))


def significant_difference(estimates: Sequence[Estimate]) -> float:
    """Fisher's least significant difference between two of several means, at the 5 % level.

    The variance of a sample is pooled over all estimates, which a few samples each allow; 0 if
    none has more than one.
    """
    groups = [item for item in estimates if item.count > 1]
    freedom = sum(item.count - 1 for item in groups)
    if not freedom:
        return 0.0
    quantile = (1 + _LEVEL) / 2
    errors = [(g.high - g.mean) / stats.t.ppf(quantile, g.count - 1) for g in groups]
    squares = [e * e * g.count * (g.count - 1) for e, g in zip(errors, groups, strict=True)]
    count = min(item.count for item in groups)
    return float(stats.t.ppf(quantile, freedom) * math.sqrt(2 * sum(squares) / freedom / count))


@dataclass(frozen=True)
class Outcome:
    """What a sweep says of one topology.

    Attributes:
        topology: Its text.
        kind: Its name.
        skip: Whether it has one.
        edges: Number of weights per layer.
        setting: What else was the same for all seeds, such as data set and number of layers;
            empty for a topology that was only scored.
        accuracy: Over the seeds; None if it was not trained.
        heuristic: `l2`, `l1`, `l0` and `rank` over the draws, without a rank where it was too
            large to compute; empty if it was not scored.
    """

    topology: str
    kind: str
    skip: bool
    edges: int
    setting: str
    accuracy: Estimate | None
    heuristic: Mapping[str, Estimate]


def outcomes(records: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Joins the records of a sweep by topology and setting, in the order of their first record.

    A score holds for a topology with and without its skip.
    """
    scores: dict[str, dict[str, Estimate]] = {}
    trained: dict[tuple[str, str], list[float]] = defaultdict(list)
    edges: dict[str, int] = {}
    for record in records:
        task, result = record["task"], record["result"]
        edges[task["topology"]] = result["edges"]
        if task["kind"] == "score":
            found = {name: result[name] for name in METRICS if result[name] is not None}
            scores[_bare(task["topology"])] = {
                name: estimate(_list(value)) for name, value in found.items()
            }
        else:
            trained[task["topology"], _setting(task)].append(result["accuracy"])
    made = [
        _outcome(text, setting, edges[text], estimate(samples), scores.get(_bare(text), {}))
        for (text, setting), samples in trained.items()
    ]
    seen = {_bare(text) for text, _ in trained}
    made += [
        _outcome(text, "", edges[text], None, scores[_bare(text)])
        for text in edges
        if _bare(text) not in seen
    ]
    return made


def _setting(task: Mapping[str, Any]) -> str:
    """All of a training that could change its accuracy, but topology and seed."""
    layers = f"{task['layers']} layer{'s' if task['layers'] > 1 else ''}"
    init = "" if task["init"] == "fan_in" else f", init {task['init']}"
    return f"{task['dataset']}, {layers}, {task['epochs']} epochs{init}"


def _outcome(
    text: str,
    setting: str,
    edges: int,
    accuracy: Estimate | None,
    heuristic: Mapping[str, Estimate],
) -> Outcome:
    kind = text.partition("(")[0]
    return Outcome(text, kind, "skip=true" in text, edges, setting, accuracy, heuristic)


def _list(value: Any) -> list[float]:
    return list(value) if isinstance(value, list) else [float(value)]


def _bare(text: str) -> str:
    """The text without its skip, which no score depends on."""
    return text.replace(", skip=true", "").replace(", skip=false", "")


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
