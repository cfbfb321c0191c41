"""What layers cost: always estimated, and measured where there is a timer.

Like is compared with like: where one of the sides has not been measured, both are taken as
estimated. A measured difference within the noise is left to the estimates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from nfcompile.cost.measured import Measurements
from nfcompile.cost.segments import Times, never_slower, share, total

__all__ = ["Cost", "alike", "gain", "slower_nowhere", "together", "worst"]


@dataclass(frozen=True)
class Cost:
    """Times of a layer, or of several one after the other.

    Attributes:
        estimated: Microseconds at each batch size that counts.
        measured: The same, measured; empty if they are not.
    """

    estimated: Times
    measured: Measurements = ()

    @property
    def basis(self) -> str:
        """`measured` or `estimated`."""
        return "measured" if self.measured else "estimated"

    @property
    def times(self) -> Times:
        """The measured medians if there are any, else the estimates."""
        return tuple(item.median_us for item in self.measured) or self.estimated


def alike(costs: Iterable[Cost]) -> list[Cost]:
    """The same costs, all of them as estimated unless all are measured."""
    given = list(costs)
    if all(cost.measured for cost in given):
        return given
    return [Cost(cost.estimated) for cost in given]


def together(costs: Sequence[Cost]) -> Cost:
    """The sum at each batch size."""
    estimated = total([cost.estimated for cost in costs])
    if not all(cost.measured for cost in costs):
        return Cost(estimated)
    by_batch = zip(*(cost.measured for cost in costs), strict=True)
    return Cost(estimated, tuple(reduce(add, at) for at in by_batch))


def slower_nowhere(after: Cost, before: Cost) -> bool:
    """Whether `after` is slower than `before` at no batch size."""
    after, before = alike([after, before])
    if not after.measured:
        return never_slower(after.estimated, before.estimated)
    estimates = zip(after.estimated, before.estimated, strict=True)
    return all(
        new.below(old) or (not old.below(new) and never_slower((guess,), (was,)))
        for new, old, (guess, was) in zip(after.measured, before.measured, estimates, strict=True)
    )


def gain(after: Cost, before: Cost) -> str:
    """In words, how much faster `after` is, such as `measured 2.0x faster`."""
    after, before = alike([after, before])
    return f"{after.basis} {1 / share(after.times, before.times):.1f}x faster"


def worst(after: Cost, before: Cost, batches: Sequence[int]) -> str:
    """In words, the batch at which `after` does worst, such as `estimated at 2.00x the time …`."""
    after, before = alike([after, before])
    ratios = (a / b for a, b in zip(after.times, before.times, strict=True))
    ratio, batch = max(zip(ratios, batches, strict=True))
    return f"{after.basis} at {ratio:.2f}x the time at batch {batch}"
