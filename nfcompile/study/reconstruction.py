"""The data-free heuristic: how well a topology reproduces random dense matrices.

For targets `M` with entries from N(0, 1/n), from the initialization by fan-in, minimize over the
weights first `|M - W|^2 / |M|^2` (L2), then from there the mean of `|M - W| * sqrt(n)` (L1), where
W is the summed product of the factors. L0 is the share of entries that L1 leaves within
`1e-3 / sqrt(n)` of the target. Numbers compare only between topologies of equal edges.

All draws and restarts run as one batch of small dense products: factors are masked dense
matrices, which at the widths of a heuristic is faster than any sparse form.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nfcompile.errors import InputError
from nfcompile.topology import Topology

__all__ = ["WIDEST", "Reconstruction", "reconstruct"]

WIDEST = 512
"""The most inputs and the most outputs of a topology that is reconstructed."""

_MATCHED = 1e-3
_RATE = 0.03


@dataclass(frozen=True)
class Reconstruction:
    """Errors of the best restart, one number per draw of the target.

    Attributes:
        l2: Squared error over squared norm, 0 for a perfect copy, 1 for none.
        l1: Mean absolute error over the targets' standard deviation.
        l0: Share of entries that are matched.
    """

    l2: tuple[float, ...]
    l1: tuple[float, ...]
    l0: tuple[float, ...]


def reconstruct(
    topology: Topology, *, draws: int = 5, restarts: int = 2, steps: int = 800, seed: int = 0
) -> Reconstruction:
    """Fits random dense matrices with a topology; the skip is left out.

    Args:
        topology: At most 512 wide.
        draws: Number of targets; the same ones for every topology of these widths and seed.
        restarts: Initializations per target, of which the best counts.
        steps: Steps of Adam for L2, and again for L1.
        seed: Of targets and initializations.

    Raises:
        InputError: If the topology is too wide, or a number is not positive.
    """
    shape = topology.out_features, topology.in_features
    if max(shape) > WIDEST:
        raise InputError(f"reconstruction takes widths up to {WIDEST}, got {topology}")
    if min(draws, restarts, steps) < 1:
        raise InputError(
            f"draws, restarts and steps must be positive, got {draws, restarts, steps}"
        )
    scale = shape[1] ** -0.5
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn((draws, *shape), generator=generator) * scale
    batch = targets.repeat_interleave(restarts, 0)
    product = _Product(topology, len(batch), generator)

    def squared(error: Tensor) -> Tensor:
        share: Tensor = error.square().sum((1, 2)) / batch.square().sum((1, 2))
        return share

    def absolute(error: Tensor) -> Tensor:
        mean: Tensor = error.abs().mean((1, 2)) / scale
        return mean

    product.minimize(batch, squared, steps, _RATE)
    l2 = squared(product.error(batch))
    product.minimize(batch, absolute, steps, _RATE / 3)
    error = product.error(batch)
    l1 = absolute(error)
    l0 = (error.abs() < _MATCHED * scale).float().mean((1, 2))
    best = [values.reshape(draws, restarts) for values in (l2, l1, l0)]
    return Reconstruction(
        l2=tuple(best[0].amin(1).tolist()),
        l1=tuple(best[1].amin(1).tolist()),
        l0=tuple(best[2].amax(1).tolist()),
    )


class _Product:
    """A batch of independently weighted copies of a topology, and their fit to targets."""

    def __init__(self, topology: Topology, batch: int, generator: torch.Generator) -> None:
        branches = topology.branches()
        self.masks = [[torch.from_numpy(m.toarray()).float() for m in b] for b in branches]
        self.weights: list[list[Tensor]] = []
        for masks in self.masks:
            factors = []
            for mask in masks:
                deviation = mask.sum(1, keepdim=True).clamp(min=1).rsqrt()
                drawn = torch.randn((batch, *mask.shape), generator=generator)
                factors.append((drawn * mask * deviation).requires_grad_())
            with torch.no_grad():
                factors[-1] /= math.sqrt(len(branches))
            self.weights.append(factors)

    def error(self, targets: Tensor) -> Tensor:
        """Product minus target, `[batch, out, in]`."""
        total = -targets
        for factors, masks in zip(self.weights, self.masks, strict=True):
            product = factors[0] * masks[0]
            for factor, mask in zip(factors[1:], masks[1:], strict=True):
                product = (factor * mask) @ product
            total = total + product
        return total

    def minimize(
        self, targets: Tensor, loss: Callable[[Tensor], Tensor], steps: int, rate: float
    ) -> None:
        """Adam with a cosine schedule; the members of the batch do not influence each other."""
        parameters = [weight for factors in self.weights for weight in factors]
        optimizer = torch.optim.Adam(parameters, lr=rate)
        for step in range(steps):
            share = 0.5 * (1 + np.cos(np.pi * step / steps))
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.zero_grad()
            loss(self.error(targets)).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
