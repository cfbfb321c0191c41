"""A dense layer's replacement: a cascade of sparse factors with a fixed topology."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from nfcompile.nn.fixed_pattern import keep_pattern
from nfcompile.nn.init import Init
from nfcompile.nn.sparse_linear import SparseLinear
from nfcompile.topology import Mask, Topology, parse

__all__ = ["SparseCascade", "default_gain"]


class SparseCascade(nn.Module):
    """`y = f(sum_b W_bL ... W_b1 x + x + b)`: branches of sparse factors, then one bias.

    There is neither bias nor non-linearity between factors. The identity `x` is added where
    the topology has a skip. Each branch stays apart, so each factor keeps its own structure.

    `load_state_dict` refuses a state whose connections are not the topology's, also when it is
    not strict.
    """

    def __init__(
        self,
        topology: Topology | str,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        *,
        init: Init = "fan_in",
        gain: float | None = None,
    ) -> None:
        """Makes the cascade.

        The variance of the signal is kept through every factor, and the sum of p branches is
        divided by p: where all pairs have equally many paths, every entry of the effective
        dense weight has variance exactly `gain^2 / n`, whatever the depth. A skip adds the
        variance of the input itself: in a stack of D such layers give each a gain of
        `1 / sqrt(D)`.

        Args:
            topology: Which connections exist, or its text.
            bias: Whether to add one bias after the last factors.
            activation: Applied last, if any.
            init: Variance of each factor's initial values, see `nfcompile.nn.init`.
            gain: Factor on the standard deviation of the effective weight. By default
                sqrt(2) before a ReLU without a skip, and 1 otherwise.
        """
        super().__init__()
        topology = parse(topology) if isinstance(topology, str) else topology
        self.topology = topology
        self.activation = activation
        branches = topology.branches()
        gain = default_gain(activation, topology.skip) if gain is None else gain
        last_gain = gain / math.sqrt(len(branches))
        self.branches = nn.ModuleList()
        for masks in branches:
            gains = [1.0] * (len(masks) - 1) + [last_gain]
            self.branches.append(
                nn.Sequential(
                    *(
                        SparseLinear(mask.shape[1], mask.shape[0], mask, False, init=init, gain=g)
                        for mask, g in zip(masks, gains, strict=True)
                    )
                )
            )
        self.bias = nn.Parameter(torch.zeros(topology.out_features)) if bias else None
        keep_pattern(self)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[..., in_features]` to `[..., out_features]`."""
        y: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            y = y + branch(x)
        if self.topology.skip:
            y = y + x
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def to_dense(self) -> Tensor:
        """The effective weight, skip included, as a dense `[out_features, in_features]` tensor."""
        topology = self.topology
        identity = next(self.parameters()).new_ones(topology.in_features).diag()
        start = identity if topology.skip else torch.zeros_like(identity[:, :1])
        columns: Tensor = sum((branch(identity) for branch in self.branches), start)
        return columns.T

    def patterns(self) -> Iterator[tuple[str, SparseLinear, Mask]]:
        """Name, layer and mask of each factor."""
        for b, masks in enumerate(self.topology.branches()):
            for f, mask in enumerate(masks):
                layer = self.branches.get_submodule(f"{b}.{f}")
                assert isinstance(layer, SparseLinear)
                yield f"branches.{b}.{f}", layer, mask

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.topology}, edges={self.topology.edges}, bias={self.bias is not None}"


def default_gain(activation: object, skip: bool = False) -> float:
    """What keeps the second moment: sqrt(2) before a ReLU without a skip, and 1 otherwise."""
    relus = (torch.relu, nn.functional.relu, torch.relu_)
    is_relu = isinstance(activation, nn.ReLU) or any(activation is relu for relu in relus)
    return math.sqrt(2) if is_relu and not skip else 1.0
