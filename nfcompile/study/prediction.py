"""How well the heuristic, which needs no data, ranks topologies by the accuracy that they reach.

Numbers compare only between topologies of equal edges, so everything here is within one budget.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nfcompile.study.statistics import RankCorrelation, rank_correlation
from nfcompile.study.summary import METRICS, Outcome
from nfcompile.topology.fit import TOLERANCE

__all__ = ["Prediction", "distinct", "equal_edges", "predictions"]


@dataclass(frozen=True)
class Prediction:
    """How well each metric of the heuristic ranks one group of topologies.

    Attributes:
        skip: Whether the topologies of the group have a skip. No metric knows of it, so with and
            without one are never pooled: each topology would count twice.
        correlations: With the accuracy, by metric. A good predictor is near -1 for the errors
            `l2` and `l1`, near +1 for `l0` and `rank`.
    """

    skip: bool
    correlations: Mapping[str, RankCorrelation]


def equal_edges(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """Groups of outcomes with equal edges, at most an eighth below the most of the group.

    Returns:
        Groups by rising edges; within one the order is kept.
    """
    ordered = list(outcomes)
    groups: list[list[Outcome]] = []
    left = {item.edges for item in ordered}
    while left:
        most = max(left)
        close = {edges for edges in left if edges >= (1 - TOLERANCE) * most}
        groups.insert(0, [item for item in ordered if item.edges in close])
        left -= close
    return groups


def distinct(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes without those of the same network under another name.

    The butterfly of radix sqrt(n) and Monarch have the same masks, hence the same weights from a
    seed and the same numbers throughout; twice, they would count twice in a correlation.
    """
    found: dict[tuple[object, ...], Outcome] = {}
    for item in outcomes:
        scores = tuple(value.mean for value in item.heuristic.values())
        name = None if scores and item.accuracy else item.topology
        found.setdefault((name, item.setting, item.skip, item.accuracy, scores), item)
    return list(found.values())


def predictions(group: Sequence[Outcome]) -> list[Prediction]:
    """Rank correlations within one group of equal edges and one setting.

    Returns:
        Without a skip, then with one, as far as there are such; in each the topologies count that
        were scored and trained. Empty if there are none.
    """
    parts = sorted({item.skip for item in group if item.accuracy and item.heuristic})
    return [
        Prediction(skip, {name: _correlation(group, name, skip) for name in METRICS})
        for skip in parts
    ]


def _correlation(group: Sequence[Outcome], metric: str, skip: bool) -> RankCorrelation:
    pairs = [
        (item.heuristic[metric].mean, item.accuracy.mean)
        for item in distinct(group)
        if item.accuracy and metric in item.heuristic and item.skip == skip
    ]
    # Sorted, so that the p-value, which is sampled, does not depend on their order.
    finite = sorted(pair for pair in pairs if all(map(math.isfinite, pair)))
    return rank_correlation([pair[0] for pair in finite], [pair[1] for pair in finite])
