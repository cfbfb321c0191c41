"""What a sweep found: means with confidence intervals, and how well the heuristic predicted."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from nfcompile.topology import parse

__all__ = [
    "METRICS",
    "Estimate",
    "Outcome",
    "RankCorrelation",
    "estimate",
    "outcomes",
    "rank_correlation",
    "significant_difference",
    "without_skip",
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

    A score holds for a topology with and without its skip. Scores compare only at equal settings
    (draws, restarts, steps, seed): those of the most frequent setting count, the first of several
    such; the others are left out. Of records with several recipes, the newest alone count.
    """
    listed = _newest(records)
    settings = Counter(_score_setting(r["task"]) for r in listed if r["task"]["kind"] == "score")
    usual = max(settings, key=settings.__getitem__, default=None)
    scores: dict[str, dict[str, Estimate]] = {}
    trained: dict[tuple[str, str], list[float]] = defaultdict(list)
    edges: dict[str, int] = {}
    for record in listed:
        task, result = record["task"], record["result"]
        text = task["topology"]
        if task["kind"] != "score":
            trained[text, _setting(task)].append(result["accuracy"])
        elif _score_setting(task) == usual:
            found = {name: result[name] for name in METRICS if result[name] is not None}
            scores[without_skip(text)] = {
                name: estimate(_list(value)) for name, value in found.items()
            }
        else:
            continue
        edges[text] = result["edges"]
    made = [
        _outcome(text, setting, edges[text], estimate(samples), scores.get(without_skip(text), {}))
        for (text, setting), samples in trained.items()
    ]
    seen = {without_skip(text) for text, _ in trained}
    made += [
        _outcome(text, "", edges[text], None, scores[without_skip(text)])
        for text in edges
        if without_skip(text) not in seen
    ]
    return made


@lru_cache(maxsize=4096)
def without_skip(text: str) -> str:
    """The text of the same topology without a skip, under which its score is kept.

    Raises:
        InputError: If the text is none of a topology.
    """
    return str(replace(parse(text), skip=False))


def _newest(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    numbered = [(int(record["task"].get("recipe", 0)), record) for record in records]
    newest = max((recipe for recipe, _ in numbered), default=0)
    return [record for recipe, record in numbered if recipe == newest]


def _score_setting(task: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """All of a score that could change it, but the topology."""
    return frozenset(item for item in task.items() if item[0] not in ("kind", "topology"))


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
    topology = parse(text)
    return Outcome(text, topology.name, topology.skip, edges, setting, accuracy, heuristic)


def _list(value: Any) -> list[float]:
    return list(value) if isinstance(value, list) else [float(value)]


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
