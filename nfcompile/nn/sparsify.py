"""Swaps the dense layers of a network for sparse cascades."""

import warnings
from collections.abc import Callable
from itertools import pairwise

from torch import nn

from nfcompile.errors import InputError
from nfcompile.nn.sparse_cascade import SparseCascade, default_gain
from nfcompile.nn.sparse_conv2d import SparseConv2d
from nfcompile.topology import Topology, parse
from nfcompile.topology.text import find_kind

__all__ = ["sparsify"]

Choice = str | Topology | Callable[[int, int], Topology]


def sparsify(
    module: nn.Module,
    topology: Choice,
    *,
    layers: Callable[[str, nn.Module], bool] = lambda name, layer: True,
    gain: float | None = None,
) -> nn.Module:
    """Replaces each Linear and Conv2d of a network, in place, by a cascade of its widths.

    The new layers are initialized by their degrees, not from the old weights: sparse before
    training. Bias, stride, padding, dilation, dtype and device stay as they are. A layer whose
    widths the topology cannot have, or (where the topology is text) that would not get fewer
    weights, a convolution with groups, and the projections of torch's own attention and encoder
    layers, which read the weight itself, are left as they are, with a warning that says why.

    Args:
        module: The network; a Linear or Conv2d itself is replaced by what is returned.
        topology: Text without widths, such as `butterfly(radix=4)`, which every layer fills in
            with its own; one topology for all layers of its widths; or a function of
            (in_features, out_features).
        layers: Which layers, by qualified name and module; all by default.
        gain: Factor on the standard deviation of every cascade's effective weight. By default
            sqrt(2) where the next module of the same `nn.Sequential` is an `nn.ReLU` and the
            topology has no skip, and 1 otherwise. A ReLU anywhere else, such as one that a
            `forward` calls, is not seen: give `gain=2**0.5` if all the layers stand before one.

    Returns:
        The network.

    Raises:
        InputError: If no layer was replaced, or there is no such kind of topology.
    """
    if isinstance(topology, str):
        find_kind(topology.partition("(")[0].strip())
    made: dict[nn.Module, nn.Module] = {}  # a layer used twice stays one layer
    reasons: dict[nn.Module, str] = {}
    before_relu = _before_relu(module)
    for name, layer in list(module.named_modules(remove_duplicate=False)):
        if not isinstance(layer, (nn.Linear, nn.Conv2d)) or not layers(name, layer):
            continue
        try:
            _check_parent(module.get_submodule(name.rpartition(".")[0]))
            activation = nn.ReLU() if layer in before_relu else None
            sparse = made[layer] if layer in made else _swap(layer, topology, gain, activation)
            if isinstance(topology, str):
                _check_smaller(sparse, layer)
        except InputError as error:
            reasons[layer] = f"{name or 'the layer'} stays dense: {error}"
            continue
        made[layer] = sparse.train(layer.training)
        if not name:
            return sparse
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, sparse)
    if not made:
        raise InputError(next(iter(reasons.values()), "there is no Linear or Conv2d to replace"))
    for reason in reasons.values():
        warnings.warn(reason, stacklevel=2)
    return module


def _check_parent(parent: nn.Module) -> None:
    """Refuses owners whose forward reads `weight` of their layers instead of calling them."""
    if isinstance(parent, (nn.MultiheadAttention, nn.TransformerEncoderLayer)):
        raise InputError(f"{type(parent).__name__} reads the weight of this layer")


def _before_relu(module: nn.Module) -> set[nn.Module]:
    """Everything that an `nn.ReLU` follows directly in an `nn.Sequential`."""
    chains = [list(part) for part in module.modules() if isinstance(part, nn.Sequential)]
    pairs = (pair for chain in chains for pair in pairwise(chain))
    return {first for first, second in pairs if isinstance(second, nn.ReLU)}


def _check_smaller(sparse: nn.Module, layer: nn.Linear | nn.Conv2d) -> None:
    biases = 0 if layer.bias is None else layer.bias.numel()
    weights = sum(parameter.numel() for parameter in sparse.parameters()) - biases
    if weights >= layer.weight.numel():
        raise InputError(
            f"{getattr(sparse, 'topology', '')} needs {weights} weights, the dense layer has "
            f"{layer.weight.numel()}"
        )


def _swap(
    layer: nn.Linear | nn.Conv2d, choice: Choice, gain: float | None, activation: nn.ReLU | None
) -> nn.Module:
    """The sparse layer for a dense one, given what will be applied to its output."""
    sparse: nn.Module
    if isinstance(layer, nn.Linear):
        ends = layer.in_features, layer.out_features
    else:
        ends = layer.in_channels, layer.out_channels
    topology = _topology(choice, *ends)
    gain = default_gain(activation, topology.skip) if gain is None else gain
    if isinstance(layer, nn.Linear):
        sparse = SparseCascade(topology, layer.bias is not None, gain=gain)
    else:
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise InputError("a convolution must have one group and explicit zero padding")
        sparse = SparseConv2d(
            *ends, _two(layer.kernel_size), topology, _two(layer.stride), _two(layer.padding),
            _two(layer.dilation), layer.bias is not None, gain=gain,
        )  # fmt: skip
    return sparse.to(layer.weight.device, layer.weight.dtype)


def _topology(choice: Choice, in_features: int, out_features: int) -> Topology:
    if isinstance(choice, str):
        return parse(choice, in_features=in_features, out_features=out_features)
    topology = choice if isinstance(choice, Topology) else choice(in_features, out_features)
    if (topology.in_features, topology.out_features) != (in_features, out_features):
        raise InputError(f"{topology} does not join {in_features} to {out_features} features")
    return topology


def _two(value: tuple[int, ...]) -> tuple[int, int]:
    first, second = value
    return first, second
