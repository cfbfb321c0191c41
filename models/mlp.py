"""Multilayer perceptrons with sparse weights: what the figures and the demo measure.

The zeros of `mlp` stand where those of a magnitude-pruned layer would: weights, or whole
blocks by their norm, below a threshold. Networks that are sparse before training are in
`cascade_mlp.py`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.models.pruning import largest_blocks

__all__ = ["Example", "block_mlp", "mlp", "unstructured_mlp"]

Example = tuple[nn.Module, Tensor]


def mlp(
    widths: Sequence[int], density: float, block: int | None = None, seed: int = 0
) -> nn.Sequential:
    """Linear layers with a ReLU after each, their smallest weights or blocks set to zero.

    Args:
        widths: Widths from input to output: one more than there are layers.
        density: Share of the weights, or blocks, that is kept in each layer.
        block: Edge of the square blocks that are kept or dropped whole; None for single
            weights. It divides every width.
        seed: Of the weights.

    Raises:
        InputError: If the density is not in (0, 1] or the block divides a width not.
    """
    if not 0 < density <= 1:
        raise InputError(f"density must be above 0 and at most 1, got {density}")
    if block is not None and any(width % block for width in widths):
        raise InputError(f"block {block} must divide every width, got {list(widths)}")
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for columns, rows in pairwise(widths):
        linear = nn.Linear(columns, rows)
        weight = torch.randn((rows, columns), generator=generator)
        weight *= largest_blocks(weight, density, (block or 1, block or 1))
        keeps_scale = (2 / columns / weight.square().mean()).sqrt()
        with torch.no_grad():
            linear.weight.copy_(weight * keeps_scale)
            linear.bias.copy_(0.1 * torch.randn(rows, generator=generator))
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


def block_mlp() -> Example:
    """Four layers of 2048 in 16x16 blocks at density 0.10, with an example of batch 64."""
    return mlp([2048] * 5, density=0.10, block=16), _example(2048)


def unstructured_mlp() -> Example:
    """Four layers of 2048 at density 0.10 without structure, with an example of batch 64."""
    return mlp([2048] * 5, density=0.10), _example(2048)


def _example(width: int) -> Tensor:
    return torch.randn((64, width), generator=torch.Generator().manual_seed(1))
