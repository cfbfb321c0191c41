"""A convolution whose channels are joined by a sparse topology."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse import csr_array, kron
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn.fixed_pattern import keep_pattern
from nfcompile.nn.init import Init
from nfcompile.nn.sparse_cascade import SparseCascade, default_gain
from nfcompile.nn.sparse_linear import SparseLinear
from nfcompile.topology import Mask, Topology, parse

__all__ = ["SparseConv2d"]

Pair = int | tuple[int, int]


class SparseConv2d(nn.Module):
    """`y = f(conv(x) + b)` over `[N, C, H, W]` with sparse weights between channels.

    A 1x1 kernel is a `SparseCascade` over the channels of each pixel. A larger one depends on
    the topology: one with a single factor is a mask over pairs of channels, each of which has a
    whole `[kh, kw]` window; one with several becomes a depthwise `[kh, kw]` convolution, then the
    cascade.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        topology: Topology | str,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] | None = None,
        *,
        init: Init = "fan_in",
        gain: float | None = None,
    ) -> None:
        """Makes the layer.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            kernel_size: Window, one integer or (height, width).
            topology: Between channels, or its text; widths that the text lacks are filled in.
            stride: As in `torch.nn.Conv2d`.
            padding: Zeros around the input, as in `torch.nn.Conv2d`.
            dilation: As in `torch.nn.Conv2d`.
            bias: Whether to add one bias per output channel.
            activation: Applied last, if any.
            init: Variance of the initial values, see `nfcompile.nn.init`.
            gain: Factor on the standard deviation of the effective weight. By default
                sqrt(2) before a ReLU without a skip, and 1 otherwise.

        Raises:
            InputError: If the topology has other widths, or one factor and a skip over a window;
                or if a size is not positive.
        """
        super().__init__()
        for what, size, least in (
            ("kernel_size", kernel_size, 1),
            ("stride", stride, 1),
            ("padding", padding, 0),
            ("dilation", dilation, 1),
        ):
            if min(_pair(size)) < least:
                raise InputError(f"{what} must be at least {least}, got {size}")
        if isinstance(topology, str):
            topology = parse(topology, in_features=in_channels, out_features=out_channels)
        if (topology.in_features, topology.out_features) != (in_channels, out_channels):
            raise InputError(
                f"{topology} must join {in_channels} to {out_channels} channels, got "
                f"{topology.in_features} to {topology.out_features}"
            )
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.topology = topology
        keep_pattern(self)
        self.depthwise: nn.Conv2d | None = None
        self.channels: SparseCascade | SparseLinear
        window = self.kernel_size[0] * self.kernel_size[1]
        branches = topology.branches()
        if window > 1 and len(branches) == 1 and len(branches[0]) == 1:
            if topology.skip:
                raise InputError(f"{topology} cannot skip over a {self.kernel_size} window")
            mask = _windows_of(branches[0][0], window)
            rows, columns = mask.shape
            gain = default_gain(activation) if gain is None else gain
            layer = SparseLinear(columns, rows, mask, bias, init=init, gain=gain)
            self.channels, self.activation = layer, activation
            return
        if window > 1:
            self.depthwise = nn.Conv2d(
                in_channels, in_channels, self.kernel_size, self.stride, self.padding,
                self.dilation, groups=in_channels, bias=False,
            )  # fmt: skip
            nn.init.normal_(self.depthwise.weight, std=window**-0.5)
        self.channels = SparseCascade(topology, bias, activation, init=init, gain=gain)
        self.activation = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, in_channels, H, W]` to `[N, out_channels, H', W']`, with or without `N`.

        Raises:
            InputError: If `x` has another rank or number of channels, or is smaller, padding
                included, than the window. Sizes are not checked while torch traces, where they
                may be dynamic.
        """
        if x.dim() == 3:
            return self.forward(x[None])[0]
        if not torch.compiler.is_compiling():
            self._check(x)
        if isinstance(self.channels, SparseLinear):
            y = self._windows(x)
        elif self.depthwise is not None:
            y = self._pixels(self.depthwise(x))
        else:
            (top, left), (down, right) = self.padding, self.stride
            padded = nn.functional.pad(x, (left, left, top, top)) if top or left else x
            y = self._pixels(padded[:, :, ::down, ::right])
        return y if self.activation is None else self.activation(y)

    def _check(self, x: Tensor) -> None:
        channels = self.topology.in_features
        if x.dim() != 4 or x.shape[1] != channels:
            raise InputError(
                f"x of SparseConv2d must be [N, {channels}, H, W] or [{channels}, H, W], "
                f"got shape {tuple(x.shape)}"
            )
        sizes = zip(self.kernel_size, self.dilation, self.padding, strict=True)
        height, width = (max(d * (k - 1) + 1 - 2 * p, 0) for k, d, p in sizes)
        if x.shape[2] < height or x.shape[3] < width:
            raise InputError(
                f"x of SparseConv2d must have at least {height}x{width} pixels for a "
                f"{self.kernel_size} window with padding {self.padding} and dilation "
                f"{self.dilation}, got {x.shape[2]}x{x.shape[3]}"
            )

    def _pixels(self, x: Tensor) -> Tensor:
        y: Tensor = self.channels(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)

    def _windows(self, x: Tensor) -> Tensor:
        """Each output pixel from the window of channels before it."""
        geometry = zip(self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        height, width = (
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, (k, s, p, d) in zip(x.shape[2:], geometry, strict=True)
        )
        windows = nn.functional.unfold(
            x, self.kernel_size, self.dilation, self.padding, self.stride
        )
        y: Tensor = self.channels(windows.transpose(1, 2))
        z: Tensor = torch.unflatten(y.transpose(1, 2), 2, (height, width))
        return z

    def patterns(self) -> Iterator[tuple[str, SparseLinear, Mask]]:
        """Name, layer and mask of the windowed factor; a cascade looks after its own."""
        if isinstance(self.channels, SparseLinear):
            window = math.prod(self.kernel_size)
            yield "channels", self.channels, _windows_of(self.topology.branches()[0][0], window)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.topology}, kernel_size={self.kernel_size}, stride={self.stride}"


def _windows_of(mask: Mask, window: int) -> Mask:
    """The mask over `[out_channels, in_channels * window]`: whole windows of its pairs."""
    return csr_array(kron(mask, np.ones((1, window), dtype=np.int64), format="csr"))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
