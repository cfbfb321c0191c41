"""What `benchmarks/gpu.py` measures, most important first, so that a short run has what counts."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gpu_layers import BF16, FP16, FP32, NARROW, Epilogue, Layer, block_diagonal, bsr

__all__ = ["Case", "all_cases"]

Array = np.ndarray

_FACTOR_PEERS = ("dense",)
_SQUARE_PEERS = ("dense", "torch bsr", "torch 2:4")
_BATCHES = (1, 16, 256, 1024, 4096, 8192)
_WIDTHS = (1024, 2048, 4096, 8192, 16384)
_BLOCKS = (16, 32, 64, 128)
_DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Case:
    """Layers one after the other, in one pair of types.

    Attributes:
        name: What tables call it.
        group: `square`, `cascade`, `ffn` or `graph challenge`.
        build: Makes the layers.
        types: Of activations and of stored values.
        batches: Batch sizes.
        peers: What it is compared with: `dense`, `torch bsr`, `torch 2:4`, `ort`.
        multiplied: Whether the dense peer is the one product of all layers.
        edges: Non-zeros of the network that it stands for, if it is told by edges per second.
    """

    name: str
    group: str
    build: Callable[[], list[Layer]]
    types: tuple[str, str]
    batches: tuple[int, ...]
    peers: tuple[str, ...] = ("dense",)
    multiplied: bool = False
    edges: int = 0


def all_cases() -> Iterator[Case]:
    """Every case, the goals' first, then what moves one thing at a time, then the grid."""
    headline = 8192, 64, 0.1
    first = (4096, 1, 16, 256, 1024, 8192)
    yield square(*headline, BF16, first, (*_SQUARE_PEERS, "ort"))
    yield cascade(16384, (512, 32), BF16, (4096, 1, 256))
    yield cascade(16384, (128, 128), BF16, (4096, 1, 256))
    yield from graph_challenge()
    yield from (ffn(block, BF16, (128, 2048)) for block in (32, 64))
    for types in (FP16, NARROW, FP32):
        yield square(*headline, types, (4096, 1, 256), (*_SQUARE_PEERS, "ort"))
    yield cascade(4096, (64, 64), BF16, (4096, 1, 256))
    yield cascade(4096, (16, 16, 16), BF16, (4096, 1))
    yield cascade(4096, (2,) * 12, BF16, (4096, 1))
    yield cascade(16384, (2,) * 14, BF16, (4096, 1))
    done = {headline}
    for block in _BLOCKS:
        done.add((8192, block, 0.1))
    for density in _DENSITIES:
        done.add((8192, 64, density))
    for n in _WIDTHS:
        done.add((n, 64, 0.1))
    near = sorted(done - {headline}, key=lambda item: (item[0] != 8192, item))
    yield from (square(*item, BF16, (4096, 1, 256), _SQUARE_PEERS) for item in near)
    yield from (ffn(32, types, (128, 2048)) for types in (FP16, FP32))
    grid = itertools.product(_WIDTHS, _BLOCKS, _DENSITIES)
    yield from (square(*item, BF16, _BATCHES, ("dense",)) for item in grid if item not in done)


def square(
    n: int, block: int, density: float, types: tuple[str, str], batches: tuple[int, ...],
    peers: tuple[str, ...],
) -> Case:  # fmt: skip
    """One layer of random square blocks."""
    return Case(
        f"{n} blocks {block} density {density:.2f}",
        "square",
        lambda: [bsr(n, n, block, density)],
        types,
        batches,
        peers,
    )


def cascade(n: int, sizes: Sequence[int], types: tuple[str, str], batches: tuple[int, ...]) -> Case:
    """All factors of a butterfly, against the dense product that they make.

    Args:
        n: Width.
        sizes: Of the blocks of its factors, whose product is n; the first has no stride.
        types: Of activations and of stored values.
        batches: Batch sizes.
    """
    if math.prod(sizes) != n:
        raise ValueError(f"factors of {n} must have its sizes as their product, got {sizes}")

    def build() -> list[Layer]:
        strides = itertools.accumulate([1, *sizes[:-1]], lambda a, b: a * b)
        return [
            block_diagonal(n, size, stride) for size, stride in zip(sizes, strides, strict=True)
        ]

    factors = f"radix {sizes[0]}" if len(set(sizes)) == 1 else " x ".join(map(str, sizes))
    return Case(
        f"cascade {n} of {factors}", "cascade", build, types, batches, _FACTOR_PEERS,
        multiplied=True,
    )  # fmt: skip


def ffn(block: int, types: tuple[str, str], batches: tuple[int, ...]) -> Case:
    """The feed-forward network of BERT base, a tenth of its blocks kept."""

    def build() -> list[Layer]:
        gelu = Epilogue(bias=0.01, activation="gelu")
        return [
            bsr(3072, 768, block, 0.1, epilogue=gelu),
            bsr(768, 3072, block, 0.1, epilogue=Epilogue(bias=0.01)),
        ]

    return Case(f"ffn 768-3072-768 blocks {block}", "ffn", build, types, batches)


def graph_challenge(neurons: int = 1024, layers: int = 120) -> Iterator[Case]:
    """The benchmark of sparse networks: its layers as they are, and with equal neurons merged."""
    edges = 32 * neurons * layers

    def general() -> list[Layer]:
        return [_csr(matrix, neurons) for matrix in _networks(neurons, layers)]

    def merged() -> list[Layer]:
        weights = merge_equal([matrix.toarray() for matrix in _networks(neurons, layers)])
        return [_full(weight, neurons) for weight in weights]

    name = f"graph challenge {neurons}x{layers}"
    for what, build, peers in (("merged", merged, ()), ("csr", general, ("dense",))):
        yield Case(f"{name} {what}", "graph challenge", build, FP16, (8192,), peers, edges=edges)


def merge_equal(weights: Sequence[Array]) -> list[Array]:
    """The weights (out, in) with equal rows once, and the columns that read them summed."""
    made = []
    expansion: Array | None = None
    for weight in weights:
        summed = weight if expansion is None else weight @ expansion
        distinct, inverse = np.unique(summed, axis=0, return_inverse=True)
        expansion = np.eye(len(distinct), dtype=np.float32)[inverse.reshape(-1)]
        made.append(distinct.astype(np.float32))
    return made


def _networks(neurons: int, layers: int) -> Iterator[Any]:
    from nfcompile.models.graph_challenge import radix_net_weight

    return (radix_net_weight(neurons, layer).T.tocsr() for layer in range(layers))


def _challenge_epilogue(neurons: int) -> Epilogue:
    from nfcompile.models.graph_challenge import layer_bias

    return Epilogue(layer_bias(neurons), "clip", (0.0, 32.0))


def _csr(matrix: Any, neurons: int) -> Layer:
    matrix.sort_indices()
    return Layer(
        "csr", *matrix.shape, matrix.data.astype(np.float32), matrix.indices.astype(np.int32),
        matrix.indptr.astype(np.int32), epilogue=_challenge_epilogue(neurons),
    )  # fmt: skip


def _full(weight: Array, neurons: int) -> Layer:
    """A weight without zeros to speak of, in the largest square blocks."""
    out, inside = weight.shape
    block = math.gcd(out, inside)
    blocks = weight.reshape(out // block, block, inside // block, block).transpose(0, 2, 1, 3)
    per_row = inside // block
    return Layer(
        "bsr",
        out,
        inside,
        np.ascontiguousarray(blocks.reshape(-1, block, block)),
        np.tile(np.arange(per_row, dtype=np.int32), out // block),
        np.arange(0, len(weight) // block * per_row + 1, per_row, dtype=np.int32),
        epilogue=_challenge_epilogue(neurons),
    )
