"""Chooses between encodings of one weight by what they are estimated to cost.

A sparse encoding is taken only if it is estimated faster than dense at every batch size that
counts: a layer must never get slower by being compiled, and dense wins ties.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nfcompile.cost.linear import estimate_us
from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        candidate: The encoding.
        pattern: What the zeros look like, also where dense won.
        estimates_us: Estimated microseconds by pattern, summed over the batch sizes.
        reason: Why, in a clause.
        times_us: Estimated microseconds of what was chosen, at each of the batch sizes.
    """

    candidate: Candidate
    pattern: str
    estimates_us: dict[str, float]
    reason: str
    times_us: tuple[float, ...] = ()


def choose(
    dense: Candidate,
    sparse: Sequence[Candidate],
    batches: Sequence[int],
    target: Target,
    force: str = "",
) -> Choice:
    """The candidate with the least geometric mean of times among those never slower than dense.

    Args:
        dense: The dense encoding.
        sparse: The others, at least one.
        batches: Batch sizes that count.
        target: Where the model will run.
        force: Kind of encoding to take if there is one, whatever it costs.
    """
    times = {
        item: tuple(estimate_us(item, batch, target) for batch in batches)
        for item in (dense, *sparse)
    }
    estimates = {item.pattern: round(sum(time), 2) for item, time in times.items()}

    def ratios(item: Candidate) -> list[float]:
        return [own / other for own, other in zip(times[item], times[dense], strict=True)]

    def mean_ratio(item: Candidate) -> float:
        return math.exp(sum(map(math.log, ratios(item))) / len(batches))

    forced = [item for item in sparse if item.kind == force]
    if forced:
        best = min(forced, key=mean_ratio)
        return Choice(best, best.pattern, estimates, f"forced by force={force}", times[best])
    at = f"at batch {', '.join(map(str, batches))}"
    faster = [item for item in sparse if max(ratios(item)) < 1]
    if not faster:
        near = min(sparse, key=mean_ratio)
        worst = max(ratios(near))
        reason = f"{near.pattern} is estimated at up to {worst:.2f}x the time of dense {at}"
        return Choice(dense, near.pattern, estimates, reason, times[dense])
    best = min(faster, key=mean_ratio)
    reason = f"estimated {1 / mean_ratio(best):.1f}x faster than dense {at}"
    return Choice(best, best.pattern, estimates, reason, times[best])
