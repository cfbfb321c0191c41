"""Intervals and correlations are those of the textbook."""

import math
from itertools import permutations

import pytest
from scipy import stats

from nfcompile.study.statistics import Estimate, rank_correlation, significant_difference


def test_the_interval_is_students_by_hand():
    # Mean 3, deviation sqrt(2.5), n 5; the 97.5 % point of t with 4 degrees of freedom is 2.776445.
    found = Estimate((1, 2, 3, 4, 5))
    half = 2.7764451 * math.sqrt(2.5 / 5)
    assert (found.mean, found.count) == (3, 5)
    assert found.low == pytest.approx(3 - half)
    assert found.high == pytest.approx(3 + half)


def test_one_sample_has_no_interval_and_equal_samples_an_empty_one():
    assert Estimate((0.5,)).low == Estimate((0.5,)).high == 0.5
    same = Estimate((0.25,) * 4)
    assert same.low == same.mean == same.high == 0.25


def test_the_significant_difference_of_two_is_where_students_test_gives_five_per_cent():
    first, second = (0.1, 0.3, 0.2, 0.6), (0.5, 0.9, 0.4, 0.7)
    least = significant_difference([Estimate(first), Estimate(second)])
    shift = sum(first) / 4 - sum(second) / 4 + least
    apart = stats.ttest_ind(first, [value + shift - 2 * least for value in second])
    assert apart.pvalue == pytest.approx(0.05)


def test_single_samples_have_no_significant_difference():
    assert significant_difference([Estimate((0.5,)), Estimate((0.9,))]) == 0


def ranks(values):
    return [sum(v < w for v in values) for w in values]


def spearman(first, second):
    """1 - 6 sum d^2 / (n (n^2 - 1)), without ties."""
    squared = sum((a - b) ** 2 for a, b in zip(ranks(first), ranks(second), strict=True))
    n = len(first)
    return 1 - 6 * squared / (n * (n * n - 1))


def test_the_correlation_and_its_p_value_are_counted_over_all_permutations():
    first, second = [0.1, 0.5, 0.2, 0.9, 0.7], [1.0, 3.0, 2.5, 4.0, 2.0]
    rho = spearman(first, second)
    found = rank_correlation(first, second)
    assert found.rho == pytest.approx(rho)
    assert found.count == 5
    all_rhos = [spearman(p, second) for p in permutations(first)]
    sides = (sum(other * sign >= rho * sign - 1e-12 for other in all_rhos) for sign in (1, -1))
    assert found.p_value == pytest.approx(2 * min(sides) / len(all_rhos))


def test_ties_are_those_of_scipy_and_order_has_a_sign():
    first, second = [1, 1, 2, 3, 3, 4], [2, 1, 2, 5, 4, 4]
    assert rank_correlation(first, second).rho == pytest.approx(
        stats.spearmanr(first, second).statistic
    )
    up = list(range(8))
    assert rank_correlation(up, up).rho == pytest.approx(1)
    assert rank_correlation(up, up[::-1]).rho == pytest.approx(-1)
    assert rank_correlation(up, up).p_value < 0.01


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])])
def test_too_few_pairs_and_constants_have_none(first, second):
    found = rank_correlation(first, second)
    assert math.isnan(found.rho)
    assert math.isnan(found.p_value)
    assert found.count == len(first)
