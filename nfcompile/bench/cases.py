"""The cases of the CPU suite: perceptrons, cascades, and what else is made of linear layers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from nfcompile.bench.case import Case, Inputs, Network
from nfcompile.ir.protobuf import write_model
from nfcompile.models.chain import chain, feed_forward, unstructured_weight, weight_of

__all__ = ["CASES"]

_WIDTH = 2048
_TOKENS = 128
_DENSE_LIMIT = 4096
"""A Graph Challenge network of this width would take 8 GB densely."""


def _normal(*shape: int, name: str = "x") -> dict[str, Callable[[int], Inputs]]:
    def inputs(batch: int) -> Inputs:
        rng = np.random.default_rng(batch)
        return {name: rng.standard_normal((batch, *shape), dtype=np.float32)}

    return {"": inputs}


def _file(folder: Path, model: Any) -> Network:
    path = folder / "model.onnx"
    write_model(model, path)
    return Network(path, path, path)


def _mlp(pattern: str) -> Callable[[Path], Network]:
    def build(folder: Path) -> Network:
        weights = (weight_of(pattern, _WIDTH, seed) for seed in range(4))
        return _file(folder, chain(weights, relu=True))

    return build


def _ffn(folder: Path) -> Network:
    up = unstructured_weight((3072, 768), 0.10, 0)
    down = unstructured_weight((768, 3072), 0.10, 1)
    return _file(folder, feed_forward(up, down, _TOKENS))


def _tall(folder: Path) -> Network:
    return _file(folder, chain([unstructured_weight((10_000, 512), 0.10, 0)]))


def _cascade(width: int, radix: int) -> Case:
    text = f"parallel-butterfly(n={width}, radix={radix}, parallel=2, skip=true)"

    def build(folder: Path) -> Network:
        import torch

        from nfcompile.frontend.torch_module import from_module
        from nfcompile.models.cascade_mlp import cascade_mlp, dense_twin

        module = cascade_mlp(width, width, depth=3, topology=text, seed=0).eval()
        example = torch.randn((4, width), generator=torch.Generator().manual_seed(1))
        graph, dense = folder / "factors.onnx", folder / "product.onnx"
        write_model(from_module(module, example).model, graph)
        write_model(from_module(dense_twin(module), example).model, dense)
        return Network(graph, dense, module, example)

    inputs = _normal(width, name="input")  # what torch's export calls it
    return Case(f"cascade-{width}", f"3 x {text}, bias, ReLU", build, inputs)


def _graph_challenge(neurons: int) -> Case:
    def build(folder: Path) -> Network:
        import torch

        from nfcompile.models.graph_challenge import (
            graph_challenge,
            layer_bias,
            radix_net_weight,
        )

        module = graph_challenge(neurons).eval()
        density = torch.linspace(0, 0.6, 16)[:, None]
        generator = torch.Generator().manual_seed(1)
        example = (torch.rand((16, neurons), generator=generator) < density).float()

        def save(name: str, weights: Iterable[Any]) -> Path:
            made = chain(weights, bias=layer_bias(neurons), clip=(0.0, 32.0), input_name="input")
            write_model(made, folder / name)
            return folder / name

        weights = [csr_array(radix_net_weight(neurons, layer).T) for layer in range(120)]
        graph, dense = save("graph.onnx", weights), None
        if neurons < _DENSE_LIMIT:
            dense = save("dense.onnx", (weight.toarray() for weight in weights))
        return Network(graph, dense, module, example)

    def alive(batch: int) -> Inputs:
        from nfcompile.models.graph_challenge_inputs import digit_rows

        return {"input": digit_rows(neurons, batch)}

    def dying(batch: int) -> Inputs:
        from nfcompile.models.graph_challenge_inputs import random_rows

        return {"input": random_rows(neurons, batch)}

    what = f"120 x {neurons}, 32 non-zeros per column, bias, Clip(0, 32)"
    inputs = {"alive": alive, "dying": dying}
    return Case(f"graph-challenge-{neurons}", what, build, inputs, alive=("alive",))


def _unstructured(density: str) -> Case:
    what = f"4 x (2048 -> 2048, bias, ReLU), unstructured, density {density}"
    build = _mlp(f"unstructured {density}")
    return Case(f"mlp-unstructured-{density}", what, build, _normal(_WIDTH))


def _blocks(size: int, density: str) -> Case:
    what = f"4 x (2048 -> 2048, bias, ReLU), {size}x{size} blocks, density {density}"
    build = _mlp(f"blocks {size} {density}")
    return Case(f"mlp-block-{size}-{density}", what, build, _normal(_WIDTH))


CASES: tuple[Case, ...] = (
    _unstructured("0.10"),
    _unstructured("0.05"),
    *(_blocks(size, density) for size in (16, 32) for density in ("0.10", "0.05")),
    Case(
        "ffn",
        f"768 -> 3072, GELU, 3072 -> 768, {_TOKENS} tokens per batch element, density 0.10",
        _ffn,
        _normal(_TOKENS, 768),
    ),
    _cascade(1024, 32),
    _cascade(4096, 16),
    _graph_challenge(1024),
    _graph_challenge(4096),
    Case("tall", "512 -> 10000, bias, density 0.10", _tall, _normal(512)),
)
"""All cases, in the order in which they run."""
