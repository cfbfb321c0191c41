"""MLP-Mixer (Tolstikhin et al., NeurIPS 2021) whose products are cascades of any topology."""

import torch
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade
from nfcompile.topology import parse

__all__ = ["Mixer", "butterfly_mixer"]


class Mixer(nn.Module):
    """Patches become tokens; blocks mix over tokens, then over channels; a dense head."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        topology: str,
        *,
        patch: int = 2,
        width: int = 64,
        depth: int = 2,
    ) -> None:
        """Makes the network.

        Args:
            image_shape: `(channels, height, width)` of the input.
            classes: Number of outputs.
            topology: Text without widths, such as `butterfly(radix=4)`: it is used at the number
                of tokens and at the number of channels.
            patch: Edge of a patch, which divides height and width.
            width: Channels of a token.
            depth: Number of blocks.

        Raises:
            InputError: If patches do not fill the image, or the topology has no such width.
        """
        super().__init__()
        channels, rows, columns = image_shape
        if patch < 1 or rows % patch or columns % patch:
            raise InputError(f"patch must divide {rows} and {columns}, got {patch}")
        tokens = (rows // patch) * (columns // patch)
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.blocks = nn.Sequential(*(_Block(tokens, width, topology) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, channels, height, width]` to `[N, classes]`."""
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        y: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return y


class _Block(nn.Module):
    """`x + mix_tokens(x)`, then `x + mix_channels(x)`, both behind a norm."""

    def __init__(self, tokens: int, width: int, topology: str) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.tokens = _mlp(tokens, topology)
        self.channels = _mlp(width, topology)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.channels(self.norms[1](x))
        return y


def _mlp(width: int, text: str) -> nn.Sequential:
    topology = parse(text, in_features=width)
    return nn.Sequential(SparseCascade(topology), nn.GELU(), SparseCascade(topology))


def butterfly_mixer() -> tuple[nn.Module, Tensor]:
    """Images of 3x32x32, 64 tokens of 256 channels, butterflies, with an example of batch 4."""
    torch.manual_seed(0)
    module = Mixer((3, 32, 32), 10, "butterfly(radix=16)", patch=4, width=256)
    return module.eval(), torch.randn(4, 3, 32, 32)
