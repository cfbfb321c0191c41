"""What fits a budget is within it by an eighth, and the best of its kind comes first."""

import pytest

from nfcompile.errors import InputError
from nfcompile.topology import (
    KINDS,
    Butterfly,
    Clos,
    Dense,
    LowRank,
    Monarch,
    ParallelButterfly,
    Torus,
)
from nfcompile.topology.fit import fit, fit_all


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("ends", [(64, 64), (64, 16), (30, 42)])
def test_members_use_seven_eighths_of_the_budget_or_more_and_are_ordered(kind, ends):
    budget = min(1536, ends[0] * ends[1] * 3 // 4)
    found = fit(kind, *ends, budget)
    assert all(0.875 * budget <= t.edges <= budget for t in found)
    assert all((t.in_features, t.out_features) == ends for t in found)
    assert len(set(found)) == len(found)
    keys = [(-min(*ends, *t.layer_widths), t.depth, -t.edges) for t in found]
    assert keys == sorted(keys)


def test_a_member_that_uses_the_whole_budget_is_found_and_one_edge_less_refuses_it():
    assert Butterfly(64, 4) in fit(Butterfly, 64, 64, 768)
    assert Butterfly(64, 4) not in fit(Butterfly, 64, 64, 767)
    assert Butterfly(64, 4) in fit(Butterfly, 64, 64, 877)  # 0.875 * 877 < 768
    assert Butterfly(64, 4) not in fit(Butterfly, 64, 64, 878)


def test_wide_members_come_before_narrow_and_shallow_before_deep():
    assert fit(Butterfly, 64, 64, 1024)[0] == Butterfly(64, 8)
    clos = fit(Clos, 64, 64, 64 * 36)
    narrow = [min(t.layer_widths) < 64 for t in clos]
    assert narrow == sorted(narrow)
    assert narrow[0] != narrow[-1]


def test_one_of_each_kind_that_fits():
    found = fit_all(64, 64, 1536)
    kinds = [type(t) for t in found]
    assert len(set(kinds)) == len(kinds)
    assert {LowRank, Clos, ParallelButterfly} <= set(kinds)
    assert Monarch(64) in fit_all(64, 64, 1024)
    assert Dense not in kinds
    assert Dense in [type(t) for t in fit_all(64, 64, 4096)]


def test_more_of_a_kind_differ_in_depth():
    found = fit_all(64, 64, 900, kinds=[Butterfly], per_kind=3)
    assert len(found) > 1
    assert len({t.depth for t in found}) == len(found) <= 3
    assert found[0] == fit(Butterfly, 64, 64, 900)[0]


@pytest.mark.timeout(20)
def test_wide_layers_are_fitted_in_seconds():
    found = fit_all(16384, 16384, 2 * 16384 * 96)
    assert len(found) >= 5


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("ends", "edges"), [((64, 64), 64**2), ((4, 4), 16), ((2**24, 2**23), 2**28)]
)
def test_the_largest_budgets_and_widths_take_seconds(ends, edges):
    for kind in KINDS.values():
        assert all(found.edges <= edges for found in fit(kind, *ends, edges))


@pytest.mark.parametrize("edges", [4097, 2**31])
def test_a_budget_above_the_dense_layers_is_refused(edges):
    message = f"edges must be at most the 4096 of the dense layer from 64 to 64, got {edges}"
    with pytest.raises(InputError, match=message):
        fit_all(64, 64, edges)


def test_one_kind_refuses_widths_before_they_are_factorized():
    with pytest.raises(InputError, match="in must be at most 16777216"):
        fit(Torus, 999999999999999989, 64, 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((64, 64, 10), "no topology from 64 to 64 has 10 edges .* dense layer has 4096, .* 128"),
        ((64, 64, 0), "edges must be an integer of at least 1, got 0"),
        ((64, 64, -5), "got -5"),
        ((64, 64, 1e3), "got 1000.0"),
        ((64, 64, 2**31 + 1), "edges must be at most 2147483648, got 2147483649"),
        ((10**9, 10**9, 100), "in must be at most 16777216, got 1000000000"),
        ((64, 2**24 + 1, 100), "out must be at most 16777216, got 16777217"),
        ((0, 64, 100), "in must be an integer of at least 2, got 0"),
        ((64, 1, 100), "out must be an integer of at least 2, got 1"),
    ],
)
def test_budgets_that_nothing_fits_are_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_all(*arguments)
    assert "\n" not in str(caught.value)
