"""Multilayer perceptrons with sparse weights: what the figures and the demo measure.

The zeros of `mlp` stand where those of a magnitude-pruned layer would: weights, or whole
blocks by their norm, below a threshold. `butterfly_mlp` is sparse before training.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade
from nfcompile.topology import Topology, parse

__all__ = [
    "Example",
    "block_mlp",
    "butterfly_cascade",
    "butterfly_mlp",
    "mlp",
    "unstructured_mlp",
]

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
        weight *= _largest(weight, density, block or 1)
        keeps_scale = (2 / columns / weight.square().mean()).sqrt()
        with torch.no_grad():
            linear.weight.copy_(weight * keeps_scale)
            linear.bias.copy_(0.1 * torch.randn(rows, generator=generator))
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


def _largest(weight: Tensor, density: float, block: int) -> Tensor:
    """Ones where the blocks of largest norm are, zeros elsewhere."""
    rows, columns = weight.shape
    tiles = weight.view(rows // block, block, columns // block, block)
    norms = tiles.square().sum((1, 3))
    kept = max(1, round(density * norms.numel()))
    mask = torch.zeros(norms.numel())
    mask[norms.flatten().topk(kept).indices] = 1
    return mask.view(norms.shape).repeat_interleave(block, 0).repeat_interleave(block, 1)


class _Pad(nn.Module):
    """Appends zeros to the last dimension."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, self.count))


def butterfly_mlp(
    in_features: int,
    out_features: int,
    depth: int,
    topology: Topology | str,
    *,
    seed: int | None = None,
) -> nn.Sequential:
    """A classifier out of sparse cascades: zeros fill the input, a dense head reads the last.

    Args:
        in_features: At most the topology's width.
        out_features: Number of classes.
        depth: Number of cascades, each with a bias and a ReLU.
        topology: Of every cascade, or its text.
        seed: Of the weights; None draws from torch's own generator.

    Raises:
        InputError: If the input is wider than the topology.
    """
    topology = parse(topology) if isinstance(topology, str) else topology
    if in_features > topology.n:
        raise InputError(f"in_features must be at most n={topology.n}, got {in_features}")
    gain = depth**-0.5 if topology.skip else None
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        layers: list[nn.Module] = []
        if in_features < topology.n:
            layers.append(_Pad(topology.n - in_features))
        layers += [SparseCascade(topology, activation=nn.ReLU(), gain=gain) for _ in range(depth)]
        if out_features != topology.n:
            layers.append(nn.Linear(topology.n, out_features))
    return nn.Sequential(*layers)


def block_mlp() -> Example:
    """Four layers of 2048 in 16x16 blocks at density 0.10, with an example of batch 64."""
    return mlp([2048] * 5, density=0.10, block=16), _example(2048)


def unstructured_mlp() -> Example:
    """Four layers of 2048 at density 0.10 without structure, with an example of batch 64."""
    return mlp([2048] * 5, density=0.10), _example(2048)


def butterfly_cascade() -> Example:
    """Three cascades of width 4096: two butterflies of radix 16 in parallel, with a skip."""
    text = "parallel-butterfly(n=4096, radix=16, parallel=2, skip=true)"
    return butterfly_mlp(4096, 4096, depth=3, topology=text, seed=0), _example(4096)


def _example(width: int) -> Tensor:
    return torch.randn((64, width), generator=torch.Generator().manual_seed(1))
