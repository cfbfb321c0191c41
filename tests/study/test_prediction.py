"""Metrics are compared with accuracy among equals only."""

import math
from itertools import permutations

from scipy import stats

from nfcompile.study.prediction import equal_edges, predictions
from nfcompile.study.statistics import Estimate, rank_correlation
from nfcompile.study.summary import Outcome


def made(edges: int, accuracy: float | None, skip: bool = False, **scores: float) -> Outcome:
    heuristic = {name: Estimate((value,)) for name, value in scores.items()}
    found = None if accuracy is None else Estimate((accuracy, accuracy))
    return Outcome(f"x{edges}", "dense", skip, edges, "digits", found, heuristic)


def test_groups_hold_edges_within_an_eighth() -> None:
    outcomes = [made(edges, 0.5) for edges in (4096, 900, 1024, 895, 896, 1500)]
    groups = [[item.edges for item in group] for group in equal_edges(outcomes)]
    assert groups == [[895], [900, 1024, 896], [1500], [4096]]
    assert equal_edges([]) == []


def test_rho_is_spearmans_with_and_without_a_skip_and_never_of_both() -> None:
    accuracy, l2 = [0.5, 0.7, 0.6, 0.9, 0.8, 0.75], [0.3, 0.2, 0.9, 0.1, 0.4, 0.15]
    group = [made(9, a, i > 2, l2=e, l0=-e) for i, (a, e) in enumerate(zip(accuracy, l2))]  # noqa: B905
    found = {part.skip: part.correlations for part in predictions(group)}
    assert list(found) == [False, True]
    for skip, rows in ((False, slice(0, 3)), (True, slice(3, 6))):
        expected = float(stats.spearmanr(l2[rows], accuracy[rows]).statistic)
        assert math.isclose(found[skip]["l2"].rho, expected)
        assert math.isclose(found[skip]["l0"].rho, -expected)
        assert found[skip]["l2"].count == len(l2[rows])
        assert math.isnan(found[skip]["rank"].rho)


def test_the_p_value_is_the_share_of_orders_at_least_as_extreme() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 3.0, 6.0, 4.0, 5.0]
    found = rank_correlation(first, second)
    orders = [stats.spearmanr(first, order).statistic for order in permutations(second)]
    extreme = sum(rho >= found.rho - 1e-9 for rho in orders)
    assert math.isclose(found.rho, float(stats.spearmanr(first, second).statistic))
    assert math.isclose(found.p_value, 2 * extreme / len(orders))


def test_only_what_was_scored_and_trained_counts() -> None:
    group = [made(9, 0.1 * i, l2=0.2 * i) for i in range(1, 5)]
    more = [made(9, None, l2=9.0), made(9, 0.0), made(9, 0.05, l2=math.nan)]
    (part,) = predictions(group + more)
    assert (part.skip, part.correlations["l2"].count) == (False, 4)
    assert math.isclose(part.correlations["l2"].rho, 1)
    assert predictions([made(9, None, l2=0.1), made(9, 0.3)]) == []
