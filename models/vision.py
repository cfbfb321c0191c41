"""Image classifiers from configurations, with random weights: ViT, ResNet, MobileNetV2."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nfcompile.models.network import Network, seeded, transformers

__all__ = [
    "Classifier", "mobilenet", "mobilenet_v2", "resnet", "resnet50", "settle", "vit", "vit_base",
]  # fmt: skip


_BRANCH = 0.25
"""Scale of what a bottleneck adds. At 1 random ones enlarge rounding errors from block to block: in
bf16 (by OpenVINO) a pruned ResNet-50 is then 13 % off, with this 1 %."""


class Classifier(nn.Module):
    """A model of transformers as a function from images to logits."""

    def __init__(self, kind: str, config: Any) -> None:
        """Makes `transformers.<kind>ForImageClassification` of its configuration."""
        super().__init__()
        self.model = getattr(transformers(), f"{kind}ForImageClassification")(config)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Maps `[N, 3, height, width]` to `[N, classes]`."""
        y: Tensor = self.model(pixel_values).logits
        return y


def settle(module: nn.Module, images: Tensor) -> None:
    """Sets the statistics of batch norms to those of `images`, so that activations are of order 1.

    Random and pruned weights need it: through 50 layers activations vanish or explode without.
    """
    with torch.no_grad():
        update_bn([images], module)


def vit(
    *,
    layers: int,
    hidden: int,
    heads: int,
    intermediate: int,
    patch: int = 16,
    size: int = 224,
    classes: int = 1000,
    seed: int = 0,
) -> Network:
    """A vision transformer (Dosovitskiy et al., ICLR 2021) whose batch may vary.

    Args:
        layers: Number of layers.
        hidden: Width between layers.
        heads: Heads of the attention, which divide `hidden`.
        intermediate: Width of the feed-forward parts.
        patch: Edge of a patch, which divides `size`.
        size: Edge of an image.
        classes: Number of outputs.
        seed: Of weights and example inputs.

    Raises:
        EngineMissingError: If transformers is not installed.
    """
    config = transformers().ViTConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        patch_size=patch,
        image_size=size,
        num_labels=classes,
        attn_implementation="eager",
    )
    return _classifier("ViT", config, size, seed)


def resnet(
    *,
    stem: int,
    widths: list[int],
    depths: list[int],
    size: int = 224,
    classes: int = 1000,
    seed: int = 0,
) -> Network:
    """A residual network of bottlenecks (He et al., CVPR 2016) whose batch may vary.

    Args:
        stem: Channels after the first convolution.
        widths: Channels of each stage's output.
        depths: Number of bottlenecks in each stage.
        size: Edge of an image.
        classes: Number of outputs.
        seed: Of weights and example inputs.

    Raises:
        EngineMissingError: If transformers is not installed.
    """
    config = transformers().ResNetConfig(
        embedding_size=stem, hidden_sizes=widths, depths=depths, num_labels=classes
    )
    network = _classifier("ResNet", config, size, seed)
    for part in network.module.modules():
        if type(part).__name__ == "ResNetBottleNeckLayer":
            last: Any = part.layer
            nn.init.constant_(last[-1].normalization.weight, _BRANCH)
    settle(network.module, network.inputs["pixel_values"])
    return network


def mobilenet(
    *, depth_multiplier: float = 1.0, size: int = 224, classes: int = 1000, seed: int = 0
) -> Network:
    """MobileNetV2 (Sandler et al., CVPR 2018) whose batch may vary.

    Args:
        depth_multiplier: Factor of all widths.
        size: Edge of an image.
        classes: Number of outputs.
        seed: Of weights and example inputs.

    Raises:
        EngineMissingError: If transformers is not installed.
    """
    config = transformers().MobileNetV2Config(
        depth_multiplier=depth_multiplier, image_size=size, num_labels=classes
    )
    return _classifier("MobileNetV2", config, size, seed)


def vit_base() -> Network:
    """ViT-B/16: 12 layers of 768, 12 heads, 197 tokens."""
    return vit(layers=12, hidden=768, heads=12, intermediate=3072)


def resnet50() -> Network:
    """ResNet-50 on images of 224x224."""
    return resnet(stem=64, widths=[256, 512, 1024, 2048], depths=[3, 4, 6, 3])


def mobilenet_v2() -> Network:
    """MobileNetV2 1.0 on images of 224x224."""
    return mobilenet()


def _classifier(kind: str, config: Any, size: int, seed: int) -> Network:
    module = seeded(lambda: Classifier(kind, config), seed)
    images = torch.randn((4, 3, size, size), generator=torch.Generator().manual_seed(seed))
    settle(module, images)
    return Network(module, {"pixel_values": images}, {"pixel_values": {0: "batch"}})
