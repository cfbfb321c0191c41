"""How many threads are called follows what runs have taken; time is made up here."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from nfcompile import _native

ROWS = 7


def called(
    crew: _native.Crew, us: Callable[[int], float], runs: int, threads: int = 8, rows: int = ROWS
) -> list[int]:
    """What a crew calls for runs that take `us(threads)`."""
    calls = []
    for _ in range(runs):
        calls.append(crew.call(rows, threads))
        crew.learn(rows, threads, calls[-1], round(1000 * us(calls[-1])))
    return calls


@pytest.mark.parametrize("best", [1, 2, 4, 8])
@pytest.mark.parametrize("threads", [8, 11])
def test_the_fastest_number_is_found_and_kept(best: int, threads: int) -> None:
    crew = _native.Crew()
    allowed = [threads >> i for i in range(4)]
    best = min(allowed, key=lambda t: abs(t - best))
    calls = called(crew, lambda t: 10 + 5 * abs(np.log2(t / best)), 2000, threads)
    assert set(calls) <= set(allowed)
    assert calls[:3] == [threads] * 3
    assert Counter(calls[64:])[best] > 0.99 * len(calls[64:])


def test_what_is_no_faster_by_a_tenth_changes_nothing() -> None:
    calls = called(_native.Crew(), lambda t: 100 if t == 8 else 93, 1000)
    assert Counter(calls)[8] > 0.95 * len(calls)


def test_it_follows_a_machine_that_changes() -> None:
    crew = _native.Crew()
    called(crew, lambda t: 10.0 / t, 300)
    later = called(crew, lambda t: 10.0 * t, 2000)
    assert later[-200:].count(1) > 190
    again = called(crew, lambda t: 10.0 / t, 2000)
    assert again[-200:].count(8) > 190


def test_it_comes_back_soon_after_others_work_has_passed() -> None:
    crew = _native.Crew()
    called(crew, lambda t: 100.0 / t, 100)
    disturbed = called(crew, lambda t: 900.0 if t > 1 else 100.0, 40)
    assert disturbed[-1] < 8
    after = called(crew, lambda t: 100.0 / t, 60)
    assert after[-20:].count(8) > 15


def test_noise_does_not_mislead_it() -> None:
    rng = np.random.default_rng(0)
    noisy = called(_native.Crew(), lambda t: 100 / t * (1 + rng.exponential(0.3)), 3000)
    assert Counter(noisy)[8] > 0.9 * len(noisy)


def test_without_reports_all_are_called() -> None:
    crew = _native.Crew()
    assert {crew.call(ROWS, 8) for _ in range(1000)} == {8}


def test_numbers_of_rows_are_told_apart_and_so_are_those_of_threads() -> None:
    crew = _native.Crew()
    called(crew, float, 300, rows=1)
    assert crew.call(1, 8) == 1
    assert crew.call(2, 8) == 8
    assert crew.call(1, 4) == 4


def test_each_of_the_usual_numbers_of_rows_is_learned() -> None:
    crew = _native.Crew()
    sizes = (1, 16, 32, 64, 128, 256, 512)
    for _ in range(300):
        for rows in sizes:
            called(crew, lambda t, rows=rows: float(t if rows < 100 else 9 - t), 1, rows=rows)
    assert [crew.call(rows, 8) for rows in sizes] == [1, 1, 1, 1, 8, 8, 8]


def test_one_thread_is_always_called() -> None:
    assert set(called(_native.Crew(), lambda t: 1.0, 300, threads=1)) == {1}
