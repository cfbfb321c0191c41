"""Times work on a GPU: graphs of calls that rotate over inputs, replayed in turns."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Clock", "GpuClock", "HostClock", "Timing", "copies_beyond_cache", "take_turns"]

Call = Callable[[], object]
Sample = Callable[[], float]
Clock = Callable[[Sequence[Call]], Sample]
"""Makes of calls, one per copy of what they read, a sample: the microseconds of one of them."""

_MOST_COPIES = 16
_MOST_REPEATS = 50
_TARGET_US = 2000.0
_CACHES = 2.0
"""Copies take at least this many times the second-level cache, so that nothing is found there."""


@dataclass(frozen=True)
class Timing:
    """Samples in short, microseconds.

    Attributes:
        median_us: Median.
        low_us: First quartile.
        high_us: Third quartile.
        samples: How many.
    """

    median_us: float
    low_us: float
    high_us: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Timing":
        """Of at least two samples."""
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, low, high, len(samples))


def copies_beyond_cache(nbytes: float, cache_bytes: float) -> tuple[int, bool]:
    """How many copies of what a call reads to rotate over, and whether they outgrow the cache.

    Args:
        nbytes: Bytes that a call reads.
        cache_bytes: Size of the second-level cache.
    """
    wanted = math.ceil(_CACHES * cache_bytes / max(nbytes, 1))
    return min(wanted, _MOST_COPIES), wanted <= _MOST_COPIES


class GpuClock:
    """Events around replays of a CUDA graph, so that the host's launches cost nothing."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def __call__(self, calls: Sequence[Call]) -> Sample:
        """Warms up, then captures all calls, as often as makes a sample of about 2 ms."""
        torch = self._torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for call in (*calls, *calls):  # loads modules, tunes libraries
                call()
            begin, end = self._events()
            begin.record()
            for call in calls:
                call()
            end.record()
        torch.cuda.synchronize()
        once = max(1.0, begin.elapsed_time(end) * 1e3)
        repeats = max(1, min(_MOST_REPEATS, round(_TARGET_US / once)))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                for call in calls:
                    call()

        def sample() -> float:
            begin, end = self._events()
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) * 1e3 / (repeats * len(calls))

        return sample

    def _events(self) -> tuple[Any, Any]:
        event = self._torch.cuda.Event
        return event(enable_timing=True), event(enable_timing=True)


class HostClock:
    """This process's clock, around calls that return when they are done."""

    def __call__(self, calls: Sequence[Call]) -> Sample:
        """Warms up."""
        for call in calls:
            call()

        def sample() -> float:
            begin = time.perf_counter_ns()
            for call in calls:
                call()
            return (time.perf_counter_ns() - begin) / 1e3 / len(calls)

        return sample


def take_turns(samples: Mapping[str, Sample], rounds: int) -> dict[str, Timing]:
    """Samples all in rounds, in an order that alternates.

    Args:
        samples: By name.
        rounds: At least 2.
    """
    found: dict[str, list[float]] = {name: [] for name in samples}
    order = list(samples)
    for _ in range(rounds):
        for name in order:
            found[name].append(samples[name]())
        order.reverse()
    return {name: Timing.of(values) for name, values in found.items()}
