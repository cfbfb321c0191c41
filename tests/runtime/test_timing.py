"""Calls take turns fairly; how long they take is never tested."""

import pytest

from nfcompile.runtime.engine import TimedCall
from nfcompile.runtime.timing import time_calls, time_runners


def recorders(log: list[str], us: float = 1.0) -> list[TimedCall]:
    def recorder(name: str) -> TimedCall:
        def call() -> float:
            log.append(name)
            return us

        return call

    return [recorder(name) for name in "ab"]


def test_calls_alternate_and_so_does_who_goes_first() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9)
    assert samples == [[1.0] * 5, [1.0] * 5]
    assert "".join(log) == "abbaabbaab"


def test_a_turn_of_some_length_begins_with_an_untimed_call() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9, turn_s=1e-12)
    assert "".join(log) == "aabbbbaaaabbbbaaaabb"
    assert [len(item) for item in samples] == [5, 5]


def test_long_calls_settle_by_themselves() -> None:
    log: list[str] = []
    time_calls(recorders(log, us=1e5), 0.0, 1e-9, turn_s=1e-12)
    assert "".join(log) == "aabb" + "baabbaab"


def test_a_turn_lasts_as_long_as_asked() -> None:
    log: list[str] = []
    samples = time_calls(recorders(log), 0.0, 1e-9, turn_s=1e-3)
    assert min(map(len, samples)) > 5


def test_few_rounds_are_enough_where_calls_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("nfcompile.runtime.timing.time.perf_counter", lambda: float(next(clock)))
    samples = time_calls(recorders([]), 0.0, 1.0)
    assert [len(item) for item in samples] == [2, 2]


def test_runners_are_timed_by_calls_of_their_own() -> None:
    class Stub:
        def timed(self, inputs: object) -> TimedCall:
            return lambda: 7.0

    assert time_runners([Stub()], {}, 0.0, 1e-9) == [[7.0] * 5]  # type: ignore[list-item]
