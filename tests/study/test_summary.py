"""Intervals and correlations are those of the textbook."""

import math
from itertools import permutations

import pytest
from scipy import stats

from nfcompile.study.summary import (
    estimate,
    outcomes,
    rank_correlation,
    significant_difference,
    without_skip,
)


def test_the_interval_is_students_by_hand():
    # Mean 3, deviation sqrt(2.5), n 5; the 97.5 % point of t with 4 degrees of freedom is 2.776445.
    found = estimate([1, 2, 3, 4, 5])
    half = 2.7764451 * math.sqrt(2.5 / 5)
    assert (found.mean, found.count) == (3, 5)
    assert found.low == pytest.approx(3 - half)
    assert found.high == pytest.approx(3 + half)


def test_one_sample_has_no_interval_and_equal_samples_an_empty_one():
    assert estimate([0.5]).low == estimate([0.5]).high == 0.5
    same = estimate([0.25] * 4)
    assert same.low == same.mean == same.high == 0.25


def test_the_significant_difference_of_two_is_where_students_test_gives_five_per_cent():
    first, second = [0.1, 0.3, 0.2, 0.6], [0.5, 0.9, 0.4, 0.7]
    least = significant_difference([estimate(first), estimate(second)])
    shift = sum(first) / 4 - sum(second) / 4 + least
    apart = stats.ttest_ind(first, [value + shift - 2 * least for value in second])
    assert apart.pvalue == pytest.approx(0.05)


def test_single_samples_have_no_significant_difference():
    assert significant_difference([estimate([0.5]), estimate([0.9])]) == 0


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
    extreme = sum(abs(other) >= abs(rho) - 1e-12 for other in all_rhos)
    assert found.p_value == pytest.approx(extreme / len(all_rhos), abs=0.05)


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


def scored(topology, edges, **metrics):
    task = {"kind": "score", "topology": topology, "seed": 0}
    result = {"l2": [0.5], "l1": [0.5], "l0": [0.5], "rank": 7, **metrics, "edges": edges}
    return {"task": task, "result": result}


def trained(topology, accuracy, seed, edges=128, dataset="digits"):
    task = {"kind": "train", "topology": topology, "dataset": dataset, "layers": 2, "epochs": 3,
            "init": "fan_in", "seed": seed}  # fmt: skip
    return {"task": task, "result": {"accuracy": accuracy, "edges": edges}}


def test_records_are_joined_by_topology_and_a_score_holds_with_and_without_its_skip():
    plain, skipping = "butterfly(n=16, radix=4)", "butterfly(n=16, radix=4, skip=true)"
    records = [
        trained(plain, 0.8, 0),
        trained(skipping, 0.7, 0),
        trained(plain, 0.9, 1),
        scored(plain, 128, l2=[0.1, 0.3]),
        scored("dense(n=16)", 256),
    ]
    one, two, three = outcomes(records)
    assert (one.topology, one.kind, one.skip, one.edges) == (plain, "butterfly", False, 128)
    assert one.accuracy == estimate([0.8, 0.9])
    assert one.heuristic["l2"] == estimate([0.1, 0.3])
    assert one.heuristic["rank"].mean == 7
    assert (two.topology, two.skip, two.accuracy.count) == (skipping, True, 1)
    assert two.heuristic == one.heuristic
    assert (three.topology, three.accuracy) == ("dense(n=16)", None)


def test_other_data_sets_are_other_settings():
    text = "butterfly(n=16, radix=4)"
    found = outcomes([trained(text, 0.8, 0), trained(text, 0.5, 0, dataset="mnist")])
    assert [o.accuracy.mean for o in found] == [0.8, 0.5]
    assert len({o.setting for o in found}) == 2
    assert all(o.heuristic == {} for o in found)


def of_setting(record, **setting):
    return {**record, "task": {**record["task"], **setting}}


def test_only_scores_of_the_most_frequent_setting_count():
    one, two, three = (f"low-rank(n=16, rank={rank})" for rank in (1, 2, 3))
    records = [
        of_setting(scored(one, 32, l2=[0.9]), draws=1),
        of_setting(scored(one, 32, l2=[0.1]), draws=5),
        of_setting(scored(two, 64, l2=[0.2]), draws=5),
        of_setting(scored(two, 64, l2=[0.8]), draws=5, seed=1),
        of_setting(scored(three, 96, l2=[0.7]), draws=1),
    ]
    for listed in (records[:4], records[3::-1]):
        found = {item.topology: item.heuristic["l2"].mean for item in outcomes(listed)}
        assert found == {one: 0.1, two: 0.2}
    (found,) = outcomes([*records[1:3], records[4], trained(three, 0.5, 0)])[:1]
    assert found.topology == three and found.heuristic == {}
    (found,) = outcomes(records[:2])
    assert found.heuristic["l2"].mean == 0.9  # as often: the first


def test_records_of_an_older_recipe_do_not_count():
    text = "low-rank(n=16, rank=1)"
    old = [trained(text, 0.1, 0), scored(text, 32, l2=[0.9])]
    (found,) = outcomes([*old, of_setting(trained(text, 0.8, 0), recipe=1)])
    assert found.accuracy.mean == 0.8 and found.heuristic == {}


@pytest.mark.parametrize("text", ["butterfly(n=16, radix=4", "parallel-butterfly(n=16, radix=4"])
def test_a_topology_has_one_text_without_a_skip(text):
    texts = {without_skip(f"{text}, skip={skip})") for skip in ("true", "false")}
    (bare,) = texts
    assert without_skip(bare) == bare and "true" not in bare
