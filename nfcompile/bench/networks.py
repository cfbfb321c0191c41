"""The cases of the suite of networks: BERT, ResNet-50 and Llama, pruned, with random weights.

Their files come from torch's older exporter: the newer one writes nothing that DeepSparse loads,
and ONNX Runtime and OpenVINO run both equally fast. All layers are pruned to the same density.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nfcompile.bench.case import Case, Inputs, Network

__all__ = ["NETWORKS"]

_DENSITY = 0.10
_VOCABULARY = 30_522
_TOKENS = 128
_LLAMA_LAYERS, _LLAMA_CACHE, _PAST = 4, (4, 64), 255


@dataclass(frozen=True)
class _Kind:
    """A network before it is pruned.

    Attributes:
        name: What its cases are called.
        what: In words.
        make: Gives the `models.network.Network`.
        inputs: Gives inputs of a batch size.
    """

    name: str
    what: str
    make: Callable[[], Any]
    inputs: Callable[[int], Inputs]

    def case(self, pattern: str, blocksize: int) -> Case:
        """The case with its weights pruned in blocks of `blocksize` squared."""
        what = f"{self.what}, {pattern}, density {_DENSITY:.2f}"
        name = "unstructured" if blocksize == 1 else f"block-{blocksize}"

        def build(folder: Path) -> Network:
            return _pruned(self.make(), blocksize, folder)

        return Case(f"{self.name}-{name}-{_DENSITY:.2f}", what, build, {"": self.inputs})


def _pruned(network: Any, blocksize: int, folder: Path) -> Network:
    import torch

    from nfcompile.models.onnx_export import write_onnx
    from nfcompile.models.pruning import keep_blocks
    from nfcompile.models.vision import settle

    keep_blocks(network.module, _DENSITY, (blocksize, blocksize))
    if "pixel_values" in network.inputs:
        settle(network.module, network.inputs["pixel_values"])
    path = folder / "model.onnx"
    write_onnx(network, path, dynamo=False)
    if "past_keys" in network.inputs:
        # Only the newer exporter tells how caches lie; the older file is faster for the others.
        # Torch's own module takes lists where the file has their items.
        newer = folder / "dynamo.onnx"
        write_onnx(network, newer, dynamo=True)
        return Network(path, path, newer)
    if hasattr(network.module.model.config, "num_attention_heads"):
        network.module.model.set_attn_implementation("sdpa")  # the fastest that torch has
    torch.save(network.module, folder / "module.pt")
    return Network(path, path, path, module=folder / "module.pt")


def _bert() -> Any:
    from nfcompile.models.bert import bert

    return bert(layers=4, hidden=768, heads=12, intermediate=3072, tokens=_TOKENS)


def _tokens(batch: int) -> Inputs:
    shape = (batch, _TOKENS)
    return {
        "input_ids": np.random.default_rng(batch).integers(_VOCABULARY, size=shape),
        "attention_mask": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }


def _resnet() -> Any:
    from nfcompile.models.vision import resnet50

    return resnet50()


def _images(batch: int) -> Inputs:
    rng = np.random.default_rng(batch)
    return {"pixel_values": rng.standard_normal((batch, 3, 224, 224), dtype=np.float32)}


def _llama() -> Any:
    from nfcompile.models.llama import llama

    heads, width = _LLAMA_CACHE
    return llama(
        layers=_LLAMA_LAYERS, hidden=16 * width, heads=16, key_value_heads=heads,
        intermediate=2816, vocabulary=_VOCABULARY,
    )  # fmt: skip


def _next_token(batch: int) -> Inputs:
    rng = np.random.default_rng(batch)
    heads, width = _LLAMA_CACHE
    caches = {
        f"past_{kind}_{layer}": rng.standard_normal((batch, heads, _PAST, width), dtype=np.float32)
        for kind in ("keys", "values")
        for layer in range(_LLAMA_LAYERS)
    }
    return {
        "input_ids": rng.integers(_VOCABULARY, size=(batch, 1)),
        "attention_mask": np.ones((batch, _PAST + 1), np.int64),
        **caches,
    }


_KINDS = (
    _Kind("bert", f"BERT, 4 layers of 768, {_TOKENS} tokens", _bert, _tokens),
    _Kind("resnet50", "ResNet-50, 224x224", _resnet, _images),
    _Kind("llama", f"Llama, 4 layers of 1024, one token after {_PAST}", _llama, _next_token),
)
_PATTERNS: Mapping[str, int] = {"unstructured": 1, "16x16 blocks": 16, "32x32 blocks": 32}

NETWORKS: tuple[Case, ...] = tuple(
    kind.case(pattern, blocksize) for kind in _KINDS for pattern, blocksize in _PATTERNS.items()
)
"""All cases, in the order in which they run."""
