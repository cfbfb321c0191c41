"""What each kernel is compiled for.

The choices weigh registers (no kernel may spill), shared memory (99 KiB on the smallest device
that runs images of compute capability 8.0), and how many programs a small batch gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

__all__ = ["VARIANTS", "Variant"]

_TYPES = (("f32", "f32"), ("f32", "bf16"), ("f16", "f16"), ("bf16", "bf16"))
"""Of x and of values."""

_BLOCKS = (16, 32, 64, 128)
_SMALL_BLOCKS = (2, 4, 8)
_LETTERS = {
    "R": "r", "RS": "rs", "SIZE": "s", "G": "g", "RN": "rn", "KN": "kn", "BM": "bm",
    "X_STRIDED": "x", "Y_STRIDED": "y", "ALIGNED": "a",
}  # fmt: skip
"""What a constant is called in a symbol. Blocks are square: C is left out."""

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
    """

    kernel: str
    x_type: str
    value_type: str
    constants: Mapping[str, int]
    warps: int
    stages: int = 3
    index_type: str = ""

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
        if "G" in constants:
            return constants["G"] * self.size
        return constants["RS"] if "RS" in constants else constants["RN"]

    @property
    def multiples_of_16(self) -> bool:
        """Whether in_features and out_features are, as the compiler may then assume."""
        return self.kernel in {"bsr", "block_diagonal"} or self.constants.get("ALIGNED") == 1


def _bsr() -> Iterator[Variant]:
    for (x_type, value_type), size in product(_TYPES, _BLOCKS):
        for batch in (16, 64) if x_type == "f32" else (16, 64, 128):
            if batch == 16:  # bound by reading weights: more programs, more copies ahead
                rows = min(size, 32)
                warps, stages = rows // 16, 6 if size == 16 else 4
            else:
                rows = size
                warps = 4 if batch * rows <= 4096 else 8
                stages = 3 if batch * rows > 8192 else 4
            constants = {"R": size, "C": size, "RS": rows, "BM": batch}
            yield Variant("bsr", x_type, value_type, constants, warps, stages)


def _block_diagonal() -> Iterator[Variant]:
    for (x_type, value_type), size, (x, y) in product(_TYPES, _BLOCKS, _STRIDED):
        for batch in (8, 16) if x and y else (16,):
            if batch == 8:  # bound by reading weights: more programs
                group = 1 if value_type == "f32" and size == 128 else max(128 // size, 2)
            else:  # 32 bytes of x at once, but 16 where sums would not fit registers
                group = (8 if x_type == "f32" else 16) // (2 if size == 128 else 1)
            sums = group * batch * size
            warps = min(max(sums // (512 if x_type == "f32" else 1024), size // 16, 4), 16)
            constants = {"SIZE": size, "G": group, "BM": batch, "X_STRIDED": x, "Y_STRIDED": y}
            yield Variant("block_diagonal", x_type, value_type, constants, warps)


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


VARIANTS = (*_bsr(), *_block_diagonal(), *_block_diagonal_small(), *_csr())
"""All of them. Of two that compute the same weights for as many rows of the batch, the one that
stands first is the faster."""
