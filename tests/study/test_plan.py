"""A sweep compares what fits each budget, with and without a skip."""

from pathlib import Path

import pytest

from nfcompile.errors import InputError
from nfcompile.study.plan import check_dataset, check_scorable, plan
from nfcompile.topology import Dense, LowRank
from nfcompile.topology.fit import fit_all


def test_each_budget_has_all_that_fit_it_with_and_without_a_skip() -> None:
    groups = plan(64, 64, [1536, 1024])
    assert list(groups) == [1024, 1536]
    for budget, group in groups.items():
        assert len(group) == len(set(group)) == 2 * len(fit_all(64, 64, budget))
        assert [item.skip for item in group] == [False, True] * (len(group) // 2)
        assert all(0.875 * budget <= item.edges <= budget for item in group)


def test_as_is_keeps_the_skip_of_each_kind() -> None:
    groups = plan(64, 64, [1536], both_skips=False)
    assert groups == {1536: fit_all(64, 64, 1536)}


def test_no_skip_is_added_where_widths_differ() -> None:
    assert not any(item.skip for item in plan(64, 128, [2048])[2048])


def test_named_ones_join_the_budget_that_they_use_or_have_their_own() -> None:
    low, dense = LowRank(64, rank=11), Dense(64)
    groups = plan(64, 64, [1536], [low, dense], both_skips=False)
    assert low in groups[1536]
    assert groups[4096] == [dense]
    assert plan(64, 64, [], [low], both_skips=False) == {low.edges: [low]}


def test_a_named_one_that_fits_anyway_is_there_once() -> None:
    known = fit_all(64, 64, 1536)
    assert plan(64, 64, [1536], known[:1], both_skips=False)[1536] == known


def test_a_data_set_that_is_too_wide_or_missing_is_told(tmp_path: Path) -> None:
    check_dataset("digits", None, 64)
    with pytest.raises(InputError, match="at least the 64 inputs of digits, got 32"):
        check_dataset("digits", None, 32)
    with pytest.raises(InputError, match=r"did you mean '?digits"):
        check_dataset("digit", None, 64)


def test_a_layer_too_wide_for_a_score_is_told() -> None:
    check_scorable(512, 512)
    for widths in ((513, 8), (8, 513)):
        with pytest.raises(InputError, match=r"up to 512, got .*513.*: use .* --no-score"):
            check_scorable(*widths)
