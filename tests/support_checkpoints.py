"""Weights that are in `frontend/checkpoints`, as the compressed-tensors package stored them.

To make the files again, with any torch:

    pip install compressed-tensors==0.13.0 safetensors
    python tests/support_checkpoints.py
"""

from pathlib import Path

import torch
from torch import Tensor

__all__ = ["BITMASK", "BITMASK_24", "bitmask_weights", "two_four_weights"]

_FOLDER = Path(__file__).parent / "frontend" / "checkpoints"
BITMASK = _FOLDER / "bitmask.safetensors"
BITMASK_24 = _FOLDER / "bitmask-24.safetensors"


def _numbers(*shape: int) -> Tensor:
    """Fixed numbers between -1 and 1, none of them zero, exact in bfloat16."""
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37 % 64 - 31.5) / 32).reshape(shape)


def bitmask_weights() -> dict[str, Tensor]:
    """A Linear of 128, a LayerNorm, a Conv2d and a Linear in bfloat16, pruned."""
    mask = torch.arange(128 * 128).reshape(128, 128) * 7 % 19 == 0
    kernel = torch.arange(54).reshape(2, 3, 3, 3) % 3 != 0
    return {
        "0.weight": _numbers(128, 128) * mask,
        "1.weight": _numbers(128) * (torch.arange(128) % 5 != 0),
        "2.weight": (_numbers(13, 128) * mask[:13]).bfloat16(),
        "3.weight": _numbers(2, 3, 3, 3) * kernel,
    }


def two_four_weights() -> dict[str, Tensor]:
    """A Linear of which 2 in 4 weights are zero, or more."""
    weight = _numbers(32, 64) * (torch.arange(64) % 4 < 2)
    weight[3, :4] = 0
    return {"0.weight": weight}


def _write() -> None:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.config import BitmaskConfig, Sparse24BitMaskConfig
    from safetensors.torch import save_file

    for path, kind, config, weights in (
        (BITMASK, "sparse-bitmask", BitmaskConfig(), bitmask_weights()),
        (BITMASK_24, "sparse-24-bitmask", Sparse24BitMaskConfig(), two_four_weights()),
    ):
        compressor = BaseCompressor.load_from_registry(kind, config=config)
        parts = compressor.compress(weights)
        save_file({name: tensor.contiguous() for name, tensor in parts.items()}, path)


if __name__ == "__main__":
    _write()
