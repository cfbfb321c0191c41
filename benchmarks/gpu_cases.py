"""What `benchmarks/gpu.py` measures, most important first, so that a short run has what counts."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["Case", "Epilogue", "Layer", "all_cases"]

Array = np.ndarray

BF16, FP16, FP32, NARROW = ("bf16", "bf16"), ("f16", "f16"), ("f32", "f32"), ("f32", "bf16")
_FACTOR_PEERS = ("dense",)
_SQUARE_PEERS = ("dense", "torch bsr", "torch 2:4")
_BATCHES = (1, 16, 256, 1024, 4096, 8192)
_WIDTHS = (1024, 2048, 4096, 8192, 16384)
_BLOCKS = (16, 32, 64, 128)
_DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Epilogue:
    """What follows a product in the same kernel.

    Attributes:
        bias: A number that is added to every output, or None.
        activation: `none`, `gelu` or `clip`.
        bounds: Of `clip`.
    """

    bias: float | None = None
    activation: str = "none"
    bounds: tuple[float, float] = (0.0, 0.0)

    def __bool__(self) -> bool:
        return self != Epilogue()


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight of shape (out, in) by what is stored of it, fp32.

    Attributes:
        kind: `bsr`, `block-diagonal` or `csr`.
        out_features: Rows.
        in_features: Columns.
        values: (blocks, R, C), or (nnz,).
        indices: Block columns, or columns; None for block-diagonal weights.
        indptr: Starts of rows of blocks, or of rows; None likewise.
        strides: Of columns and rows of a block-diagonal weight.
        epilogue: What follows.
    """

    kind: str
    out_features: int
    in_features: int
    values: Array
    indices: Array | None = None
    indptr: Array | None = None
    strides: tuple[int, int] = (1, 1)
    epilogue: Epilogue = field(default_factory=Epilogue)

    @property
    def index_bytes(self) -> int:
        """Bytes of the indices as they lie on the device."""
        if self.indices is None or self.indptr is None:
            return 0
        narrow = self.kind == "csr" and self.in_features <= 1 << 16
        return (2 if narrow else 4) * self.indices.size + 4 * self.indptr.size

    def product(self, cuda: Any, types: tuple[str, str]) -> Any:
        """The weight on the device, for activations and with values of these types."""
        x_type, precision = types
        if self.kind == "block-diagonal":
            return cuda.BlockDiagonalProduct(
                self.values, None, None, self.strides[1], self.strides[0],
                self.in_features, self.out_features, precision, x_type,
            )  # fmt: skip
        make = cuda.BsrProduct if self.kind == "bsr" else cuda.CsrProduct
        return make(self.values, self.indices, self.indptr, self.in_features, precision, x_type)

    def places(self) -> tuple[Array, Array]:
        """Rows and columns of the values, to be broadcast to their shape."""
        if self.kind == "block-diagonal":
            blocks, height, width = self.values.shape
            cols, rows = (
                strided_indices(blocks, size, stride)
                for size, stride in zip((width, height), self.strides, strict=True)
            )
            return rows[:, :, None], cols[:, None, :]
        assert self.indices is not None and self.indptr is not None
        row = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        if self.kind == "csr":
            return row, self.indices
        _, height, width = self.values.shape
        rows = row[:, None] * height + np.arange(height)
        cols = self.indices.astype(np.int64)[:, None] * width + np.arange(width)
        return rows[:, :, None], cols[:, None, :]


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


def bsr(
    out: int, inside: int, block: int, density: float, *, epilogue: Epilogue | None = None
) -> Layer:
    """Random square blocks, at least one, so scaled that outputs are about 1."""
    rng = np.random.default_rng((out, inside, block, round(100 * density)))
    mask = rng.random((out // block, inside // block)) < density
    mask[0, 0] = True
    width = max(1.0, mask.sum() * block / len(mask))
    values = rng.standard_normal((int(mask.sum()), block, block), np.float32)
    return Layer(
        "bsr",
        out,
        inside,
        values / np.float32(math.sqrt(width)),
        np.nonzero(mask)[1].astype(np.int32),
        np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32),
        epilogue=epilogue or Epilogue(),
    )


def block_diagonal(n: int, size: int, stride: int) -> Layer:
    """A factor of a butterfly: blocks over indices that differ in one digit."""
    rng = np.random.default_rng((n, size, stride))
    values = rng.standard_normal((n // size, size, size), np.float32) / np.float32(size**0.5)
    return Layer("block-diagonal", n, n, values, strides=(stride, stride))


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
