"""Blocks in the registers of AMX, against float64 products of the same bf16 numbers.

Where the machine has none, only what Intel's manual says of them runs: `amx-emulated`.
"""

from itertools import product as product_of

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

ISAS = [isa for isa in _native.test_isas() if isa.startswith("amx")]
BATCHES = (1, 15, 16, 17, 32, 33, 64, 100)
Floats = NDArray[np.float32]
Made = tuple[NDArray[np.float64], _native.Product]


def rounded(x: Floats) -> Floats:
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def bsr(isa: str, rows: int, columns: int, size: tuple[int, int], density: float = 0.4) -> Made:
    """Blocks of `size`; the first row of them is empty."""
    rng = np.random.default_rng(rows + columns)
    kept = rng.random((rows // size[0], columns // size[1])) < density
    kept[0] = False
    values = rounded(rng.standard_normal((int(kept.sum()), *size)).astype(np.float32))
    dense = np.zeros((rows // size[0], size[0], columns // size[1], size[1]))
    at = np.nonzero(kept)
    dense[at[0], :, at[1], :] = values
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    made = _native.pack_bsr(
        values, at[1].astype(np.int32), starts, columns, isa=isa, precision="bfloat16"
    )
    return dense.reshape(rows, columns), made


def butterfly(isa: str, n: int, radix: int, stride: int) -> Made:
    rng = np.random.default_rng(n + radix)
    values = rounded(rng.standard_normal((n // radix, radix, radix)).astype(np.float32))
    dense = np.zeros((n, n))
    for b, block in enumerate(values):
        at = b // stride * (radix * stride) + np.arange(radix) * stride + b % stride
        dense[np.ix_(at, at)] = block
    made = _native.pack_block_diagonal(
        values, None, None, n, n, row_stride=stride, col_stride=stride, isa=isa,
        precision="bfloat16",
    )  # fmt: skip
    return dense, made


def shuffled(isa: str, blocks: int, rows: int, columns: int, padded: int) -> Made:
    """Blocks of any rows and columns, the last `padded` of each side of the last block missing."""
    rng = np.random.default_rng(blocks)
    values = rounded(rng.standard_normal((blocks, rows, columns)).astype(np.float32))
    out, in_ = blocks * rows - padded, blocks * columns - padded
    sides = []
    for size, width in ((out, rows), (in_, columns)):
        index = np.full(blocks * width, -1, np.int32)
        index[:size] = rng.permutation(size)
        sides.append(index)
    dense = np.zeros((out, in_))
    for block, row, column in zip(
        values, *(side.reshape(blocks, -1) for side in sides), strict=True
    ):
        dense[np.ix_(row[row >= 0], column[column >= 0])] = block[np.ix_(row >= 0, column >= 0)]
    made = _native.pack_block_diagonal(values, *sides, in_, out, isa=isa, precision="bfloat16")
    return dense, made


# How wide the chunks of columns are that the registers take; 0: the weight has no such form.
CASES = {
    "blocks of 32": (lambda isa: bsr(isa, 128, 160, (32, 32)), 32),
    "blocks of 16": (lambda isa: bsr(isa, 96, 128, (16, 16)), 16),
    "tall blocks": (lambda isa: bsr(isa, 96, 64, (48, 16)), 16),
    "wide blocks": (lambda isa: bsr(isa, 64, 128, (16, 64)), 32),
    "butterfly of 16": (lambda isa: butterfly(isa, 256, 16, 16), 16),
    "butterfly of 32": (lambda isa: butterfly(isa, 256, 32, 8), 32),
    "butterfly of 64": (lambda isa: butterfly(isa, 256, 64, 4), 32),
    "padded blocks": (lambda isa: shuffled(isa, 5, 48, 32, 3), 32),
    "blocks of 8": (lambda isa: bsr(isa, 64, 64, (8, 8)), 0),
    "butterfly of 4": (lambda isa: butterfly(isa, 64, 4, 4), 0),
    "columns of blocks": (lambda isa: bsr(isa, 128, 128, (16, 1)), 0),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_blocks_that_fill_the_registers_are_multiplied_there(name: str, isa: str) -> None:
    make, columns = CASES[name]
    dense, made = make(isa)
    assert made.amx_columns == columns
    for batch, threads in product_of(BATCHES, (1, 3)):
        rng = np.random.default_rng(batch)
        x = rounded(rng.standard_normal((batch, dense.shape[1])).astype(np.float32))
        y = made(x, form="tiles", threads=threads)
        np.testing.assert_allclose(y, x @ dense.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_what_follows_the_product_is_done_to_it(isa: str, mode: int) -> None:
    rng = np.random.default_rng(mode)
    for name in ("blocks of 32", "butterfly of 16"):
        dense, made = CASES[name][0](isa)
        for batch in (5, 32, 70):
            x = rounded(rng.standard_normal((batch, dense.shape[1])).astype(np.float32))
            bias = rng.standard_normal(len(dense)).astype(np.float32)
            beside = rng.standard_normal((batch, len(dense))).astype(np.float32)
            got = made(
                x, bias=bias, residual=beside, activation="relu", residual_mode=mode, form="tiles"
            )
            t = x @ dense.T + bias + (beside if mode == 0 else 0)
            t = np.maximum(t, 0)
            np.testing.assert_allclose(got, [t, t + beside, t * beside][mode], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["blocks of 32", "blocks of 16", "padded blocks"])
def test_what_is_not_finite_reaches_only_rows_that_read_it(name: str, isa: str) -> None:
    dense, made = CASES[name][0](isa)
    x = np.ones((20, dense.shape[1]), np.float32)
    column = int(np.nonzero(dense.any(axis=0))[0][0])
    x[3, column] = np.nan
    y = made(x, form="tiles")
    reads = np.nonzero(dense[:, column])[0]
    assert np.isnan(y[3, reads]).all()
    assert np.isfinite(np.delete(y[3], reads)).all()
    assert np.isfinite(np.delete(y, 3, axis=0)).all()


def test_only_machines_with_the_registers_use_them() -> None:
    for isa in _native.test_isas():
        columns = CASES["blocks of 32"][0](isa)[1].amx_columns
        assert columns == (32 if isa.startswith("amx") else 0)
