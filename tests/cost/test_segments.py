"""The best cut of a chain, against all cuts."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from nfcompile.cost.segments import Times, best_segments, never_slower, share, total


def all_cuts(count: int) -> list[list[tuple[int, int]]]:
    return [
        list(pairwise((0, *inner, count)))
        for size in range(count)
        for inner in combinations(range(1, count), size)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_of_segments_that_are_never_slower_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    times: dict[tuple[int, int], Times] = {
        (i, j): tuple(rng.random(2) * (j - i) ** 0.5 + 0.1)
        for i, j in combinations(range(count + 1), 2)
    }
    missing = {pair for pair in times if pair[1] - pair[0] > 1 and rng.random() < 0.2}
    singles = [times[i, i + 1] for i in range(count)]
    whole = total(singles)

    def cost(cut: list[tuple[int, int]]) -> float:
        return share(total([times[pair] for pair in cut]), whole)

    allowed = [
        cut
        for cut in all_cuts(count)
        if not missing & set(cut)
        and all(never_slower(times[i, j], total(singles[i:j])) for i, j in cut)
    ]
    found = best_segments(singles, lambda i, j: None if (i, j) in missing else times[i, j])
    assert found in allowed
    assert cost(found) == pytest.approx(min(map(cost, allowed)))


def test_fewer_segments_win_a_tie() -> None:
    assert best_segments([(1.0,), (1.0,)], lambda i, j: (2.0,)) == [(0, 2)]


def test_a_segment_that_is_slower_at_one_batch_is_not_taken() -> None:
    assert best_segments([(5.0, 1.0)] * 2, lambda i, j: (1.0, 2.1)) == [(0, 1), (1, 2)]
