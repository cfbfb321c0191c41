"""What each kernel is compiled for.

Of `bsr`, `bsr_vector` and `block_diagonal` in fp16 and bf16 the fastest of those that ran on an
H100 or an H200 were taken (docs/gpu.md); the rest weigh registers,
shared memory (99 KiB on the smallest device that runs images of compute capability 8.0), and how
many programs a small batch gives. `benchmarks/gpu_search.py` times others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

__all__ = [
    "BLOCK_DIAGONAL", "BSR", "VARIANTS", "Entry", "Variant", "block_diagonal_variant",
    "bsr_variant",
]  # fmt: skip

Entry = tuple[int, ...]

_TYPES = (("f32", "f32"), ("f32", "bf16"), ("f16", "f16"), ("bf16", "bf16"))
"""Of x and of values."""

_BITS = {"f32": 32, "f16": 16, "bf16": 16}
_BLOCKS = (16, 32, 64, 128)
_SMALL_BLOCKS = (2, 4, 8)
_LETTERS = {
    "R": "r", "RS": "rs", "SIZE": "s", "G": "g", "RN": "rn", "KN": "kn", "BM": "bm",
    "X_STRIDED": "x", "Y_STRIDED": "y", "ALIGNED": "a",
}  # fmt: skip
"""What a constant is called in a symbol. Blocks are square: C is left out."""

BSR: Mapping[int, Mapping[int, Sequence[Entry]]] = {
    16: {
        16: [(16, 16, 1, 6, 80), (64, 16, 4, 4, 80), (128, 16, 4, 4, 80)],
        32: [(16, 16, 2, 6, 80), (32, 32, 4, 6, 80), (128, 32, 4, 4, 80), (256, 32, 4, 4, 80)],
        64: [(16, 32, 2, 6, 80), (64, 64, 4, 4, 80), (128, 64, 4, 3, 80), (512, 64, 8, 3, 90)],
        128: [(16, 16, 2, 6, 80), (64, 64, 4, 4, 80), (128, 128, 4, 3, 80), (256, 128, 8, 4, 90)],
    },
    32: {
        16: [(16, 16, 1, 6, 80), (64, 16, 4, 4, 80)],
        32: [(16, 32, 2, 4, 80), (64, 32, 4, 4, 80)],
        64: [(16, 32, 2, 4, 80), (64, 64, 4, 4, 80)],
        128: [(16, 32, 2, 4, 80), (64, 128, 8, 4, 80)],
    },
}
"""By bits of x and the size of blocks: rows of the batch and of a block per program, warps,
stages, and the compute capability."""

_VECTOR = {16: (16, 16, 8, 1), 32: (8, 4, 2, 3), 64: (4, 2, 1, 4), 128: (8, 1, 2, 4)}
"""By the size of blocks: rows of a block per program, blocks at a time, warps, steps ahead."""

BLOCK_DIAGONAL: Mapping[int, Mapping[int, Sequence[Entry]]] = {
    16: {
        16: [(8, 8, 16, 4, 2, 80), (32, 16, 16, 4, 1, 80)],
        32: [(8, 8, 32, 4, 2, 80), (32, 16, 32, 4, 1, 80)],
        64: [(8, 4, 64, 4, 2, 80), (16, 8, 64, 4, 1, 80), (32, 8, 64, 4, 1, 90)],
        128: [(8, 2, 128, 8, 2, 80), (16, 8, 16, 8, 2, 80), (32, 8, 64, 8, 1, 90)],
    },
    32: {
        16: [(8, 8, 16, 4, 2, 80), (16, 8, 16, 4, 2, 80)],
        32: [(8, 4, 32, 4, 2, 80), (16, 8, 32, 8, 2, 80)],
        64: [(8, 2, 64, 4, 2, 80), (16, 8, 16, 8, 1, 80)],
        128: [(8, 1, 128, 8, 2, 80), (16, 4, 16, 8, 1, 80)],
    },
}
"""By bits of x and the size of blocks: rows of the batch and blocks per program, rows of a block
at a time, warps, stages, and the compute capability."""

_STRIDED = ((1, 1), (0, 1), (1, 0))
"""Whether columns and rows have a stride: where neither has, weights are packed as BSR."""


@dataclass(frozen=True)
class Variant:
    """A kernel and what it is specialized for.

    Attributes:
        kernel: Name of the function, and of its module in `nfcompile.gpu`.
        x_type: Of x, bias, residual and y: `f32`, `f16` or `bf16`.
        value_type: Of the weights: the same names.
        constants: Its constexpr parameters by name, in their order.
        warps: Of 32 threads, per program.
        stages: How many steps of its loop overlap.
        index_type: Of the indices of csr, `i32` or `u16`; empty for other kernels.
        least: The compute capability that it needs, for its shared memory.
    """

    kernel: str
    x_type: str
    value_type: str
    constants: Mapping[str, int]
    warps: int
    stages: int = 3
    index_type: str = ""
    least: int = 80

    @property
    def symbol(self) -> str:
        """A name that no other variant has, such as `bsr_bf16_bf16_r64_rs64_bm128`."""
        types = [self.x_type, self.value_type, self.index_type]
        shape = [f"{_LETTERS[name]}{n}" for name, n in self.constants.items() if name in _LETTERS]
        return "_".join(part for part in [self.kernel, *types, *shape] if part)

    @property
    def size(self) -> int:
        """Rows, and columns, of a block; 0 where there are none."""
        return self.constants.get("R", self.constants.get("SIZE", 0))

    @property
    def rows(self) -> int:
        """Rows of the batch that a program computes."""
        return self.constants["BM"]

    @property
    def outputs(self) -> int:
        """Output rows that a program computes."""
        constants = self.constants
        if "RS" in constants:
            return constants["RS"]
        return constants["G"] * self.size if "G" in constants else constants["RN"]

    @property
    def multiples_of_16(self) -> bool:
        """Whether in_features and out_features are, as the compiler may then assume."""
        whole = {"bsr", "bsr_vector", "block_diagonal", "block_diagonal_wide"}
        return self.kernel in whole or self.constants.get("ALIGNED") == 1


def bsr_variant(types: tuple[str, str], size: int, entry: Entry) -> Variant:
    """The kernel bsr for types of x and of values, and blocks of a size, as an entry says."""
    batch, rows, warps, stages, least = entry
    constants = {"R": size, "C": size, "RS": rows, "BM": batch}
    return Variant("bsr", *types, constants, warps, stages, least=least)


def block_diagonal_variant(
    types: tuple[str, str], size: int, entry: Entry, strided: tuple[int, int] = (1, 1)
) -> Variant:
    """The same of block_diagonal; `strided`: whether columns and rows have a stride."""
    batch, group, rows, warps, stages, least = entry
    constants = {"SIZE": size, "G": group, "BM": batch, "STEP": rows}
    constants |= {"X_STRIDED": strided[0], "Y_STRIDED": strided[1]}
    return Variant("block_diagonal", *types, constants, warps, stages, least=least)


def _bsr() -> Iterator[Variant]:
    for types, size in product(_TYPES, _BLOCKS):
        for entry in BSR[_BITS[types[0]]][size]:
            yield bsr_variant(types, size, entry)


def _bsr_vector() -> Iterator[Variant]:
    for (x_type, value_type), size in product(_TYPES, _BLOCKS):
        rows, blocks, warps, ahead = _VECTOR[size]
        if value_type == "f32":  # as many bytes at a time
            rows, blocks = (rows, blocks // 2) if blocks > 1 else (rows // 2, 1)
        constants = {"R": size, "C": size, "RS": rows, "KN": blocks, "BM": 1, "AHEAD": ahead}
        yield Variant("bsr_vector", x_type, value_type, constants, warps, ahead)


def _block_diagonal() -> Iterator[Variant]:
    for types, size, strided in product(_TYPES, _BLOCKS, _STRIDED):
        for entry in BLOCK_DIAGONAL[_BITS[types[0]]][size]:
            yield block_diagonal_variant(types, size, entry, strided)


def _block_diagonal_small() -> Iterator[Variant]:
    for (x_type, value_type), size in product(_TYPES, _SMALL_BLOCKS):
        one = {"SIZE": size, "G": 256 // size, "BM": 1, "ALIGNED": 0}
        yield Variant("block_diagonal_small", x_type, value_type, one, warps=8 // size)
        for aligned in (1, 0):
            constants = {"SIZE": size, "G": 32, "BM": 16, "ALIGNED": aligned}
            warps = 2 if aligned and x_type != "f32" else 4  # 16 bytes of x per thread
            yield Variant("block_diagonal_small", x_type, value_type, constants, warps)


def _csr() -> Iterator[Variant]:
    for (x_type, value_type), index_type, batch in product(_TYPES, ("i32", "u16"), (1, 8)):
        constants = {"RN": 4, "KN": 32, "BM": batch}
        yield Variant("csr", x_type, value_type, constants, 4, index_type=index_type)


VARIANTS = (*_bsr(), *_bsr_vector(), *_block_diagonal(), *_block_diagonal_small(), *_csr())
"""All of them. Of two that compute the same weights for as many rows of the batch, the one that
stands first is the faster."""
