"""What is told of a set of timings."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Timing", "summarize_samples"]


@dataclass(frozen=True)
class Timing:
    """A set of timings in short.

    Attributes:
        median_us: Median, microseconds.
        p95_us: 95th percentile, microseconds.
        spread: Interquartile range over the median.
    """

    median_us: float
    p95_us: float
    spread: float


def summarize_samples(samples_us: Sequence[float]) -> Timing:
    """Median, 95th percentile and spread of at least two samples in microseconds."""
    cuts = statistics.quantiles(samples_us, n=20, method="inclusive")
    median = statistics.median(samples_us)
    return Timing(median, cuts[18], (cuts[14] - cuts[4]) / median if median else 0.0)
