"""Timed calls that take turns.

Machines are shared and clocks drift, so a round has a turn of each, in an order that alternates.
Only ratios within a run count.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from nfcompile.runtime.engine import TimedCall, TimedRunner

__all__ = ["time_calls", "time_runners"]

_MIN_ROUNDS = 5
_FEWEST_ROUNDS = 2  # that give quartiles
_PATIENCE = 5.0
_PATIENCE_S = 10.0
_SETTLED_BY_ITSELF_US = 50e3


def time_runners(
    runners: Sequence[TimedRunner],
    inputs: Mapping[str, np.ndarray],
    warmup_s: float,
    time_s: float,
) -> list[list[float]]:
    """Times runners of the same inputs, whose results are not compared here.

    Args:
        runners: They take turns.
        inputs: Given to each.
        warmup_s: Seconds of untimed rounds.
        time_s: Seconds of timed calls per runner.

    Returns:
        Microseconds of each call, per runner.
    """
    return time_calls([runner.timed(inputs) for runner in runners], warmup_s, time_s)


def time_calls(
    calls: Sequence[TimedCall], warmup_s: float, time_s: float, *, turn_s: float = 0.0
) -> list[list[float]]:
    """Times calls that take turns, in an order that alternates.

    With turns of some length a call is first made once untimed, so that caches and threads are its
    own again after its neighbours', as they are where nothing else runs; without, one timed call is
    a turn. There are at least 5 rounds, or 2 where 5 would take over 5 times the time, and 10 s.

    Args:
        calls: Each gives the microseconds that it took.
        warmup_s: Seconds of untimed rounds.
        time_s: Seconds of timed calls per entry of `calls`, on average.
        turn_s: Seconds that a turn lasts at least.

    Returns:
        Microseconds of each timed call, per entry of `calls`.
    """
    samples: list[list[float]] = [[] for _ in calls]
    order = list(range(len(calls)))
    start = time.perf_counter()
    while time.perf_counter() - start < warmup_s:
        for call in calls:
            call()
    budget = time_s * len(calls)
    patience = max(_PATIENCE_S, _PATIENCE * budget)
    start = time.perf_counter()
    rounds = 0
    while (spent := time.perf_counter() - start) < budget or rounds < (
        _MIN_ROUNDS if spent < patience else _FEWEST_ROUNDS
    ):
        for index in order:
            _take_turn(calls[index], samples[index], turn_s)
        order.reverse()
        rounds += 1
    return samples


def _take_turn(call: TimedCall, samples: list[float], turn_s: float) -> None:
    if turn_s and not (samples and samples[-1] > _SETTLED_BY_ITSELF_US):
        call()
    begin = time.perf_counter()
    samples.append(call())
    while time.perf_counter() - begin < turn_s:
        samples.append(call())
