"""Networks of transformers at sizes for tests, ways to prune them, and ways to the compiler."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nfcompile.models.bert import bert
from nfcompile.models.llama import llama
from nfcompile.models.network import Network
from nfcompile.models.onnx_export import write_onnx
from nfcompile.models.pruning import keep_blocks, keep_n_of_m, keep_weights, prunable
from nfcompile.models.vision import mobilenet, resnet, settle, vit

__all__ = ["NETWORKS", "PRUNINGS", "ROUTES", "arrays", "other_inputs", "prune", "run_torch"]

SHAPE = {"layers": 2, "hidden": 256, "heads": 4, "intermediate": 512}
NETWORKS: dict[str, Callable[[], Network]] = {
    "bert": lambda: bert(**SHAPE, vocabulary=64, tokens=12),
    "llama": lambda: llama(**SHAPE, key_value_heads=2, vocabulary=256, tied=True),
    "vit": lambda: vit(**SHAPE, patch=8, size=32, classes=256),
    "resnet": lambda: resnet(stem=32, widths=[64, 256], depths=[1, 1], size=32, classes=256),
    "mobilenet": lambda: mobilenet(depth_multiplier=0.35, size=32, classes=256),
}
PRUNINGS: dict[str, Callable[[nn.Module], None]] = {
    "80 %": lambda module: keep_weights(module, 0.20),
    "90 %": lambda module: keep_weights(module, 0.10),
    "95 %": lambda module: keep_weights(module, 0.05),
    "4x1": lambda module: keep_blocks(module, 0.10, (4, 1)),
    "16x16": lambda module: keep_blocks(module, 0.10, (16, 16)),
    "32x32": lambda module: keep_blocks(module, 0.10, (32, 32)),
    "2:4": lambda module: keep_n_of_m(module, 2, 4),
}


def prune(network: Network, how: str) -> None:
    """Prunes a network, or its layers in all ways in turn, and restores its activations."""
    layers = list(prunable(network.module))
    with_norms = any(isinstance(part, nn.BatchNorm2d) for part in network.module.modules())
    # Batch norms leave the scale of a layer free, and global pruning would drop some layers whole.
    scales = [layer.weight.std().item() if with_norms else 1.0 for layer in layers]
    _scale(layers, [1 / scale for scale in scales])
    if how == "mixed":
        for layer, way in zip(layers, itertools.cycle(PRUNINGS.values()), strict=False):
            way(layer)
    else:
        PRUNINGS[how](network.module)
    _scale(layers, scales)
    if with_norms:
        # Many, since a last layer of 1x1 pixels has no other samples.
        images = torch.randn((64, 3, 32, 32), generator=torch.Generator().manual_seed(2))
        settle(network.module, images)


def _scale(layers: list[nn.Linear | nn.Conv2d], factors: list[float]) -> None:
    with torch.no_grad():
        for layer, factor in zip(layers, factors, strict=True):
            layer.weight.mul_(factor)


def _module(network: Network, folder: Path) -> tuple[Any, Any, Any]:
    return network


def _file(network: Network, folder: Path, *, dynamo: bool) -> tuple[Any, Any, Any]:
    path = folder / "dense.onnx"
    write_onnx(network, path, dynamo=dynamo)
    names = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    return path, dict(zip(names, arrays(network.inputs), strict=True)), None


ROUTES: dict[str, Callable[[Network, Path], tuple[Any, Any, Any]]] = {
    "torch.export": _module,
    "dynamo": lambda network, folder: _file(network, folder, dynamo=True),
    "torchscript": lambda network, folder: _file(network, folder, dynamo=False),
}
"""What gives the source, example inputs and dynamic shapes for the compiler."""


def arrays(inputs: Any) -> list[np.ndarray]:
    """The tensors in nested arguments, flat."""
    return [leaf.numpy() for leaf in pytree.tree_leaves(inputs)]


def other_inputs(name: str) -> list[dict[str, Any]]:
    """Arguments of other sizes than those of the example, with padding where there are masks."""
    generator = torch.Generator().manual_seed(1)

    def ids(*shape: int) -> Tensor:
        return torch.randint(64, shape, generator=generator)

    if name == "bert":
        sizes = [(1, 1), (3, 29)]
        made = [
            {
                "input_ids": ids(*size),
                "attention_mask": torch.ones(size, dtype=torch.int64),
                "token_type_ids": ids(*size) % 2,
            }
            for size in sizes
        ]
        made[1]["attention_mask"][1, 20:] = 0
        return made
    if name == "llama":
        return [_decoding(ids(1, 9), 0), _decoding(ids(3, 1), 17), _decoding(ids(1, 1), 1)]
    return [
        {"pixel_values": torch.randn((batch, 3, 32, 32), generator=generator)} for batch in (1, 7)
    ]


def _decoding(ids: Tensor, past: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(past)
    batch, tokens = ids.shape
    mask = torch.ones((batch, past + tokens), dtype=torch.int64)
    if batch > 1:
        mask[1, :3] = 0  # a shorter prompt, padded on the left
    cache = [torch.randn((batch, 2, past, 64), generator=generator) for _ in range(4)]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "past_keys": cache[:2],
        "past_values": cache[2:],
    }


def run_torch(module: nn.Module, inputs: dict[str, Any]) -> list[np.ndarray]:
    """What the module gives, flat."""
    with torch.no_grad():
        return arrays(module(**inputs))
