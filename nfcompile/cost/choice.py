"""Chooses between encodings of one weight by what they are estimated to cost, or measured.

A sparse encoding is taken only if it is faster than dense at every batch size that counts: a layer
must never get slower by being compiled, and dense wins ties. Where times are measured, a
difference within their noise is a tie.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nfcompile.cost.linear import estimate_us
from nfcompile.cost.measured import Measurements, worth_measuring
from nfcompile.ir.candidates import Candidate
from nfcompile.target import Target

__all__ = ["Choice", "Measure", "choose"]

Measure = Callable[[Sequence[Candidate]], Mapping[Candidate, Measurements] | None]
"""Measures sparse candidates beside the dense one; None if there is nothing to go by."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        candidate: The encoding.
        pattern: What the zeros look like, also where dense won.
        estimates_us: Estimated microseconds by pattern, summed over the batch sizes.
        reason: Why, in a clause.
        times_us: Estimated microseconds of what was chosen, at each of the batch sizes.
        measured: Measured times of what was chosen, at each of them; empty if it was not.
        measured_us: Measured medians by pattern, at each of them.
    """

    candidate: Candidate
    pattern: str
    estimates_us: dict[str, float]
    reason: str
    times_us: tuple[float, ...] = ()
    measured: Measurements = ()
    measured_us: dict[str, tuple[float, ...]] = field(default_factory=dict)


def choose(
    dense: Candidate,
    sparse: Sequence[Candidate],
    batches: Sequence[int],
    target: Target,
    force: str = "",
    measure: Measure | None = None,
) -> Choice:
    """The candidate with the least geometric mean of times among those never slower than dense.

    Args:
        dense: The dense encoding.
        sparse: The others, at least one.
        batches: Batch sizes that count.
        target: Where the model will run.
        force: Kind of encoding to take if there is one, whatever it costs.
        measure: Measures those that are not hopeless by their estimates.
    """
    times = {
        item: tuple(estimate_us(item, batch, target) for batch in batches)
        for item in (dense, *sparse)
    }
    estimates = {item.pattern: round(sum(time), 2) for item, time in times.items()}
    forced = [item for item in sparse if item.kind == force]
    if forced:
        best = min(forced, key=lambda item: _mean_ratio(times[item], times[dense]))
        return Choice(best, best.pattern, estimates, f"forced by force={force}", times[best])
    near = worth_measuring(times, sparse) if measure is not None else []
    measured = measure(near) if measure is not None and near else None
    if measured and len(measured) > 1:
        return _by_measurements(dense, measured, estimates, times, batches)
    at = f"at batch {_list(batches)}"
    faster = [item for item in sparse if max(_ratios(times[item], times[dense])) < 1]
    if not faster:
        closest = min(sparse, key=lambda item: _mean_ratio(times[item], times[dense]))
        worst = max(_ratios(times[closest], times[dense]))
        reason = f"{closest.pattern} is estimated at up to {worst:.2f}x the time of dense {at}"
        return Choice(dense, closest.pattern, estimates, reason, times[dense])
    best = min(faster, key=lambda item: _mean_ratio(times[item], times[dense]))
    factor = 1 / _mean_ratio(times[best], times[dense])
    reason = f"estimated {factor:.1f}x faster than dense {at}"
    return Choice(best, best.pattern, estimates, reason, times[best])


def _by_measurements(
    dense: Candidate,
    measured: Mapping[Candidate, Measurements],
    estimates: dict[str, float],
    times: Mapping[Candidate, tuple[float, ...]],
    batches: Sequence[int],
) -> Choice:
    medians = {item: tuple(at.median_us for at in of) for item, of in measured.items()}
    told = {item.pattern: tuple(round(us, 2) for us in of) for item, of in medians.items()}

    def made(chosen: Candidate, pattern: str, reason: str) -> Choice:
        found = measured[chosen]
        return Choice(chosen, pattern, estimates, reason, times[chosen], found, told)

    def mean_ratio(item: Candidate) -> float:
        return _mean_ratio(medians[item], medians[dense])

    sparse = [item for item in measured if item is not dense]
    faster = [
        item
        for item in sparse
        if all(own.below(of) for own, of in zip(measured[item], measured[dense], strict=True))
    ]
    if faster:
        best = min(faster, key=mean_ratio)
        against = _against(medians[best], medians[dense], batches)
        factor = 1 / mean_ratio(best)
        return made(best, best.pattern, f"measured {factor:.1f}x faster than dense: {against}")
    nearest = min(sparse, key=mean_ratio)
    worst = max(_ratios(medians[nearest], medians[dense]))
    against = _against(medians[nearest], medians[dense], batches)
    slower = f"up to {worst:.2f}x the time of dense" if worst >= 1 else "dense within the noise"
    reason = f"{nearest.pattern} is measured at {slower}: {against}"
    return made(dense, nearest.pattern, reason)


def _ratios(own: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(own, other, strict=True)]


def _mean_ratio(own: Sequence[float], other: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, _ratios(own, other))) / len(own))


def _against(own: Sequence[float], dense: Sequence[float], batches: Sequence[int]) -> str:
    short, other = (
        _list([f"{us:.1f}" if us < 100 else f"{us:.0f}" for us in of]) for of in (own, dense)
    )
    return f"{short} us against {other} at batch {_list(batches)}"


def _list(items: Sequence[object]) -> str:
    return ", ".join(map(str, items))
