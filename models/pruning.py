"""Zeros in trained networks, as magnitude pruning leaves them.

Weights are pruned in linear layers and in convolutions, whose weights are seen as matrices (out,
in * height * width). Embeddings, norms, biases and depthwise convolutions are left alone, and so is
a head whose weight is an embedding's.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from nfcompile.errors import InputError

__all__ = ["keep_blocks", "keep_n_of_m", "keep_weights", "largest_blocks", "prunable"]


def prunable(module: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The layers that are pruned, each weight once."""
    seen = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    for part in module.modules():
        if not isinstance(part, nn.Linear | nn.Conv2d) or id(part.weight) in seen:
            continue
        depthwise = isinstance(part, nn.Conv2d) and 1 < part.groups == part.in_channels
        if not depthwise:
            seen.add(id(part.weight))
            yield part


def keep_weights(module: nn.Module, density: float) -> None:
    """Keeps the largest weights of the whole network: density varies from layer to layer.

    Args:
        module: Changed in place.
        density: Share of all weights that is kept.

    Raises:
        InputError: If the density is not in (0, 1].
    """
    _check_density(density)
    layers = list(prunable(module))
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], prune.L1Unstructured, amount=1 - density
    )
    for layer in layers:
        prune.remove(layer, "weight")  # type: ignore[no-untyped-call]


def keep_blocks(module: nn.Module, density: float, blocksize: tuple[int, int]) -> None:
    """Keeps the blocks of largest norm in each layer.

    Args:
        module: Changed in place.
        density: Share of the blocks of a layer that is kept.
        blocksize: Rows (outputs) and columns (inputs) of a block. Where it does not divide a
            weight, the last blocks are cut off.

    Raises:
        InputError: If the density is not in (0, 1].
    """
    _check_density(density)
    for layer in prunable(module):
        _mask(layer, largest_blocks(layer.weight.detach().flatten(1), density, blocksize))


def keep_n_of_m(module: nn.Module, n: int, m: int) -> None:
    """Keeps the n largest of each m weights that follow each other along the inputs (channels).

    Layers whose inputs m does not divide are left alone.

    Args:
        module: Changed in place.
        n: Weights kept, from 1 to m.
        m: Weights looked at together.

    Raises:
        InputError: If n is not from 1 to m.
    """
    if not 1 <= n <= m:
        raise InputError(f"n must be from 1 to m, got n={n}, m={m}")
    for layer in prunable(module):
        weight = layer.weight.detach().movedim(1, -1)
        if weight.shape[-1] % m:
            continue
        groups = weight.abs().reshape(-1, m)
        mask = torch.zeros_like(groups).scatter_(-1, groups.topk(n).indices, 1.0)
        _mask(layer, mask.view(weight.shape).movedim(-1, 1))


def largest_blocks(weight: Tensor, density: float, blocksize: tuple[int, int]) -> Tensor:
    """Ones where the blocks of largest norm of a matrix are, zeros elsewhere.

    Args:
        weight: (out, in).
        density: Share of the blocks that is kept, and the largest of each row of blocks in any
            case: an output that reads nothing would be constant.
        blocksize: Rows and columns of a block; the last blocks may be cut off.
    """
    (rows, columns), (height, width) = weight.shape, blocksize
    padded = functional.pad(weight, (0, -columns % width, 0, -rows % height))
    tiles = padded.view(padded.shape[0] // height, height, padded.shape[1] // width, width)
    norms = tiles.square().sum((1, 3))
    norms.scatter_(1, norms.argmax(1, keepdim=True), torch.inf)
    kept = max(len(norms), round(density * norms.numel()))
    mask = torch.zeros(norms.numel())
    mask[norms.flatten().topk(kept).indices] = 1
    whole = mask.view(norms.shape).repeat_interleave(height, 0).repeat_interleave(width, 1)
    return whole[:rows, :columns]


def _mask(layer: nn.Linear | nn.Conv2d, mask: Tensor) -> None:
    with torch.no_grad():
        layer.weight.mul_(mask.reshape(layer.weight.shape))


def _check_density(density: float) -> None:
    if not 0 < density <= 1:
        raise InputError(f"density must be above 0 and at most 1, got {density}")
