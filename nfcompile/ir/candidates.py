"""The encodings that a weight could have: patterns of its zeros, and what each would store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nfcompile.sparse import (
    BsrTensor,
    CsrTensor,
    Encoding,
    count_blocks,
    find_block_diagonal,
)
from nfcompile.sparse.encoding import narrowest_index_dtype

__all__ = ["BLOCKSIZES", "CUDA_BLOCKSIZES", "Candidate", "dense_candidate", "sparse_candidates"]

BLOCKSIZES = ((4, 4), (8, 1), (16, 1), (8, 4), (16, 4), (8, 8), (16, 16), (32, 32))
"""Blocks that are looked for, small first. Rows are what kernels vectorize over, hence (8, 1)."""

CUDA_BLOCKSIZES = ((16, 16), (32, 32), (64, 64), (128, 128))
"""The same for CUDA: what tensor cores multiply."""

_MAX_PADDING = 2.0
"""A block form that stores more than this many values per non-zero is not a pattern."""


@dataclass(frozen=True)
class Candidate:
    """An encoding that a weight could have, made only when chosen.

    Attributes:
        kind: The encoding's kind.
        pattern: What it sees in the zeros, such as `blocks 16x16`.
        shape: (out, in).
        stored: Values it would store.
        nbytes: Bytes it would take.
        blocksize: Rows and columns that share one index.
        regular: Whether the positions follow a rule, so that no index is read.
        strides: Of a block-diagonal weight's rows and columns; 0 where they are listed.
        make: Builds it; None for dense.
    """

    kind: str
    pattern: str
    shape: tuple[int, int]
    stored: int
    nbytes: int
    blocksize: tuple[int, int] = (1, 1)
    regular: bool = False
    strides: tuple[int, int] = (0, 0)
    make: Callable[[], Encoding] | None = None


def dense_candidate(shape: tuple[int, int], value_bytes: int = 4) -> Candidate:
    """All values of a weight of `shape` (out, in)."""
    size = shape[0] * shape[1]
    return Candidate("dense", "dense", shape, size, value_bytes * size)


def sparse_candidates(
    csr: CsrTensor,
    value_bytes: int = 4,
    blocksizes: Sequence[tuple[int, int]] = BLOCKSIZES,
) -> tuple[list[Candidate], str]:
    """Every sparse encoding of `csr` worth costing, and why it is not block-diagonal (or "").

    Args:
        csr: The weight, (out, in).
        value_bytes: What a value will be stored in: 4 for fp32, 2 for half types.
        blocksizes: Blocks to look for, small first.
    """
    size = _nbytes(csr, value_bytes)
    found = [Candidate("csr", "unstructured", csr.shape, csr.stored, size, make=lambda: csr)]
    blocks = find_block_diagonal(csr)
    if not isinstance(blocks, str):
        count, height, width = blocks.values.shape
        regular = bool(blocks.row_stride and blocks.col_stride)
        pattern = f"block-diagonal {count} of {height}x{width}"
        found.append(
            Candidate(
                blocks.kind,
                pattern,
                csr.shape,
                blocks.stored,
                _nbytes(blocks, value_bytes),
                (height, width),
                regular,
                (blocks.row_stride, blocks.col_stride),
                make=lambda: blocks,
            )
        )
    found += _block_candidates(csr, value_bytes, blocksizes)
    return found, blocks if isinstance(blocks, str) else ""


def _block_candidates(
    csr: CsrTensor, value_bytes: int, blocksizes: Sequence[tuple[int, int]]
) -> list[Candidate]:
    found: list[Candidate] = []
    too_empty: list[tuple[int, int]] = []
    for blocksize in blocksizes:
        height, width = blocksize
        if csr.shape[0] % height or csr.shape[1] % width or not csr.stored:
            continue
        if any(height % small[0] == 0 and width % small[1] == 0 for small in too_empty):
            continue  # blocks made of such blocks hold even more zeros
        stored = count_blocks(csr, blocksize) * height * width
        if stored > _MAX_PADDING * csr.stored:
            too_empty.append(blocksize)
            continue
        index = narrowest_index_dtype(csr.shape[1] // width).itemsize
        nbytes = (
            value_bytes * stored + index * stored // (height * width) + 4 * csr.shape[0] // height
        )
        found.append(
            Candidate(
                "bsr",
                f"blocks {height}x{width}",
                csr.shape,
                stored,
                nbytes,
                blocksize,
                make=lambda blocksize=blocksize: BsrTensor.from_csr(csr, blocksize),  # type: ignore[misc]
            )
        )
    return found[::-1]  # large blocks first: they win ties


def _nbytes(encoding: Encoding, value_bytes: int) -> int:
    arrays = dict(encoding.components())
    values = arrays.pop("values")
    return value_bytes * int(values.size) + sum(array.nbytes for array in arrays.values())
