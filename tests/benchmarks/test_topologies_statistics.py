"""Corrections and correlations against values by hand."""

import numpy as np
import pytest
from scipy import stats
from topologies_statistics import difference, holm, pooled_correlation, ranks

from nfcompile.study.statistics import Estimate

RNG = np.random.default_rng(0)
GROUPS = [tuple(RNG.normal(mean, 1, 5)) for mean in (0.0, 0.3, 2.0)]


def test_a_difference_is_that_of_welch():
    delta, half, p_value = difference(Estimate(GROUPS[0]), Estimate(GROUPS[2]))
    first, second = (np.var(GROUPS[i], ddof=1) / 5 for i in (0, 2))
    freedom = (first + second) ** 2 / ((first**2 + second**2) / 4)
    error = (first + second) ** 0.5
    assert delta == pytest.approx(np.mean(GROUPS[0]) - np.mean(GROUPS[2]))
    assert half == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert p_value == pytest.approx(2 * stats.t.sf(abs(delta) / error, freedom))


def test_equal_samples_without_spread_do_not_differ():
    assert difference(Estimate((0.5,) * 3), Estimate((0.5,) * 3)) == (0.0, 0.0, 1.0)
    assert difference(Estimate((0.7,) * 3), Estimate((0.5,) * 3))[2] < 1e-20


def test_p_values_are_adjusted_by_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_equal_values_have_equal_ranks():
    assert ranks([5, 5, 5]).tolist() == [0, 0, 0]
    assert ranks([1, 3, 3, 9]).tolist() == pytest.approx([-1, 0, 0, 1])


def test_correlation_is_counted_within_groups_only():
    # Between the groups the trend is upward, within each it is downward.
    groups = [([1, 2, 3, 4], [4, 3, 2, 1]), ([11, 12, 13, 14], [14, 13, 12, 11])]
    rho, p_value, count = pooled_correlation(groups)
    assert (rho, count) == (pytest.approx(-1), 8)
    assert p_value < 0.02


def test_groups_that_say_nothing_are_left_out():
    assert pooled_correlation([([1, 2, 3], [5, 5, 5]), ([1, 2], [2, 1])])[2] == 0


def test_a_chance_correlation_has_a_large_p_value():
    rng = np.random.default_rng(3)
    groups = [(rng.normal(size=6), rng.normal(size=6)) for _ in range(4)]
    p_values = [
        pooled_correlation([(a, rng.permutation(b)) for a, b in groups])[1] for _ in range(8)
    ]
    assert 0.2 < np.mean(p_values) < 0.8
