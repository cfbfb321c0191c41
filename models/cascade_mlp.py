"""Multilayer perceptrons that are sparse before training: cascades of any topology."""

import torch
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade
from nfcompile.nn.init import Init
from nfcompile.topology import Topology, parse

__all__ = ["Spread", "butterfly_cascade", "cascade_mlp", "dense_twin"]


class Spread(nn.Module):
    """Repeats features until they fill a width, evenly and in an order that is random but fixed.

    Neighbours get different features, so that no topology is helped or harmed by where the copies
    of one lie.
    """

    source: Tensor

    def __init__(self, features: int, width: int) -> None:
        """Makes the layer.

        Args:
            features: Number of features, at most `width`.
            width: Number of features afterwards.

        Raises:
            InputError: If they do not fit.
        """
        super().__init__()
        if features > width:
            raise InputError(f"in_features must be at most the topology's {width}, got {features}")
        order = torch.randperm(width, generator=torch.Generator().manual_seed(0))
        self.register_buffer("source", order % features, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[..., features]` to `[..., width]`."""
        return x.index_select(-1, self.source)


def cascade_mlp(
    in_features: int,
    out_features: int,
    depth: int,
    topology: Topology | str,
    *,
    init: Init = "fan_in",
    seed: int | None = None,
) -> nn.Sequential:
    """A classifier out of sparse cascades: the input is spread, a dense head reads the last.

    Args:
        in_features: At most the topology's width.
        out_features: Number of classes; no head if it is the topology's width.
        depth: Number of cascades, each with a bias and a ReLU.
        topology: Of every cascade, or its text.
        init: Variance of the initial weights, see `nfcompile.nn.init`.
        seed: Of the weights; None draws from torch's own generator.

    Raises:
        InputError: If the input is wider than the topology, depth is below one, or cascades of
            unequal widths do not fit each other.
    """
    if depth < 1:
        raise InputError(f"depth must be at least 1, got {depth}")
    topology = parse(topology) if isinstance(topology, str) else topology
    width = topology.out_features
    if depth > 1 and topology.in_features != width:
        raise InputError(f"{topology} cannot follow itself: depth must be 1, got {depth}")
    gain = depth**-0.5 if topology.skip else None
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        layers: list[nn.Module] = []
        if in_features != topology.in_features:
            layers.append(Spread(in_features, topology.in_features))
        layers += [
            SparseCascade(topology, activation=nn.ReLU(), init=init, gain=gain)
            for _ in range(depth)
        ]
        if out_features != width:
            layers.append(nn.Linear(width, out_features))
    return nn.Sequential(*layers)


def dense_twin(module: nn.Module) -> nn.Sequential:
    """The same function with each cascade multiplied out into one dense layer."""
    layers: list[nn.Module] = []
    for layer in module.children():
        if not isinstance(layer, SparseCascade):
            layers.append(layer)
            continue
        topology = layer.topology
        widths = topology.in_features, topology.out_features
        linear = nn.Linear(*widths, bias=layer.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(layer.to_dense())
            if layer.bias is not None:
                linear.bias.copy_(layer.bias)
        layers.append(linear)
        if isinstance(layer.activation, nn.Module):
            layers.append(layer.activation)
    return nn.Sequential(*layers)


def butterfly_cascade() -> tuple[nn.Module, Tensor]:
    """Three cascades of width 4096: two butterflies of radix 16 in parallel, with a skip."""
    text = "parallel-butterfly(n=4096, radix=16, parallel=2, skip=true)"
    example = torch.randn((64, 4096), generator=torch.Generator().manual_seed(1))
    return cascade_mlp(4096, 4096, depth=3, topology=text, seed=0), example
