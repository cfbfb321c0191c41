"""A small convolutional network whose channels are joined by any topology."""

import torch
from torch import Tensor, nn

from nfcompile.nn import SparseConv2d
from nfcompile.topology import Topology

__all__ = ["butterfly_cnn", "cnn"]


def cnn(
    image_shape: tuple[int, int, int],
    classes: int,
    topology: Topology | str,
    *,
    channels: int = 64,
    depth: int = 3,
    kernel_size: int = 3,
) -> nn.Sequential:
    """A dense stem, sparse convolutions with batch norm, and a dense head over the mean.

    Args:
        image_shape: `(channels, height, width)` of the input.
        classes: Number of outputs.
        topology: Between the channels of every convolution after the stem, or its text; widths
            that the text lacks are filled in.
        channels: Width of all layers.
        depth: Number of sparse convolutions; each but the first halves height and width.
        kernel_size: Of the sparse convolutions: 1 for cascades over channels alone.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(image_shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]
    for index in range(depth):
        stride = 1 if index == 0 else 2
        layers += [
            SparseConv2d(
                channels, channels, kernel_size, topology, stride, kernel_size // 2, bias=False
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def butterfly_cnn() -> tuple[nn.Module, Tensor]:
    """Images of 3x32x32, 256 channels, 1x1 butterfly cascades, with an example of batch 4."""
    torch.manual_seed(0)
    module = cnn((3, 32, 32), 10, "butterfly(radix=16)", channels=256, kernel_size=1)
    return module.eval(), torch.randn(4, 3, 32, 32)
