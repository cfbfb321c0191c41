"""The encoding that a weight gets on a target, and what a layer with it costs.

Whoever asks what a weight would cost asks here, so that passes which change weights reckon with
the very encoding that `encode-weights` will choose in the end.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from nfcompile.cost.choice import Choice, choose
from nfcompile.cost.linear import estimate_us
from nfcompile.cost.measured import LayerTimer, Measurements
from nfcompile.ir.candidates import (
    BLOCKSIZES,
    CUDA_BLOCKSIZES,
    Candidate,
    dense_candidate,
    sparse_candidates,
)
from nfcompile.sparse import CsrTensor
from nfcompile.target import Target

__all__ = ["MAX_DENSITY", "best_encoding", "dense_times"]

MAX_DENSITY = 0.7
"""Weights with a larger share of non-zeros stay dense without a closer look."""


def best_encoding(
    shape: tuple[int, int],
    nonzeros: int,
    csr: Callable[[], CsrTensor],
    batches: Sequence[int],
    target: Target,
    *,
    max_density: float = MAX_DENSITY,
    force: str = "",
    timer: LayerTimer | None = None,
) -> Choice:
    """The best encoding of one weight, dense unless another is faster at every batch.

    Args:
        shape: (out, in), neither of them 0.
        nonzeros: Number of non-zeros.
        csr: Gives the non-zeros; called only if the weight is sparse enough to look at them.
        batches: Batch sizes that count.
        target: Where the model will run.
        max_density: Largest share of non-zeros that is looked at.
        force: Kind of encoding to take if there is one, whatever it costs.
        timer: Measures the candidates; None leaves the choice to estimates.
    """
    dense = dense_candidate(shape, target.activation_bytes)
    density = nonzeros / dense.stored
    stays = Choice(dense, dense.pattern, {}, "", dense_times(shape, batches, target))
    if density > max_density and not force:
        return _because(stays, f"density {density:.2f} is above {max_density:g}")
    nonzero = cache(csr)
    blocksizes = CUDA_BLOCKSIZES if target.name == "ort-cuda" else BLOCKSIZES
    candidates, not_diagonal = sparse_candidates(nonzero(), target.value_bytes, blocksizes)
    if target.name == "portable":
        candidates = [item for item in candidates if item.kind == "block-diagonal"]
        if not candidates:
            reason = f"no standard operators are faster for this pattern ({not_diagonal})"
            return _because(stays, reason)
    if timer is None:
        return choose(dense, candidates, batches, target, force)

    def measure(near: Sequence[Candidate]) -> Mapping[Candidate, Measurements] | None:
        return timer(dense, near, nonzero, batches, target)

    return choose(dense, candidates, batches, target, force, measure)


def dense_times(
    shape: tuple[int, int], batches: Sequence[int], target: Target
) -> tuple[float, ...]:
    """Estimated microseconds of a dense layer of `shape` (out, in) at each batch."""
    dense = dense_candidate(shape, target.activation_bytes)
    return tuple(estimate_us(dense, batch, target) for batch in batches)


def _because(choice: Choice, reason: str) -> Choice:
    return dataclasses.replace(choice, reason=reason)
