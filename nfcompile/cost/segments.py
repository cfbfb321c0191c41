"""Cuts a chain of layers into segments, each multiplied out to one, by dynamic programming.

    best(j) = min over i of best(i) + cost(i, j)          a segment is the layers i ... j - 1

The cost of a segment is its time as a share of the whole chain's, summed over the batch sizes.
Segments that are slower than their own layers at any batch size are not considered, so whatever is
chosen is slower at none.
"""

from collections.abc import Callable

__all__ = ["Times", "best_segments", "never_slower", "share", "total"]

Times = tuple[float, ...]
"""Estimated microseconds at each batch size that counts."""


def best_segments(
    singles: list[Times], time_of: Callable[[int, int], Times | None]
) -> list[tuple[int, int]]:
    """The segments (i, j) of the best cut, in order; layers that stay alone included.

    Args:
        singles: Times of each layer by itself.
        time_of: Times of layers i ... j - 1 as one, for j - i > 1; None where it cannot be.
    """
    whole = total(singles)
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # cost, number of segments, start of last
    for end in range(1, len(singles) + 1):
        options = []
        for start in range(end):
            times = singles[start] if end - start == 1 else time_of(start, end)
            if times is None or not never_slower(times, total(singles[start:end])):
                continue
            cost, count, _ = best[start]
            options.append((cost + share(times, whole), count + 1, start))
        best.append(min(options))
    segments = []
    end = len(singles)
    while end:
        start = best[end][2]
        segments.append((start, end))
        end = start
    return segments[::-1]


def total(times: list[Times]) -> Times:
    """The sum at each batch size."""
    return tuple(map(sum, zip(*times, strict=True)))


def share(times: Times, whole: Times) -> float:
    """The mean over batch sizes of one time as a share of another."""
    return sum(one / other for one, other in zip(times, whole, strict=True)) / len(whole)


def never_slower(times: Times, other: Times) -> bool:
    """Whether `times` are at most `other` at each batch size, up to rounding."""
    return all(a <= b * (1 + 1e-9) for a, b in zip(times, other, strict=True))
