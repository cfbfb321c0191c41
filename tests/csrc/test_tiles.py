"""Products over tiles: rows that compete for sets of a cache, groups that share columns."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

RNG = np.random.default_rng(0)
ISAS = _native.test_isas()


def half(*shape: int) -> Floats:
    """Random numbers of 8 bits, which bf16 holds: then only sums are rounded, in fp32."""
    bits = RNG.standard_normal(shape).astype(np.float32).view(np.uint32) + 0x8000
    return (bits & 0xFFFF0000).view(np.float32)


def check(product: _native.Product, weight: Floats, batch: int, threads: int) -> None:
    out, in_ = weight.shape
    x = np.empty(batch * in_ + 1, np.float32)[1:].reshape(batch, in_)  # off any alignment
    x[:] = half(batch, in_)
    bias, residual = half(out), half(batch, out)
    memory = np.full(batch * out + 40, np.nan, np.float32)
    y = memory[17 : 17 + batch * out].reshape(batch, out)
    product.run(x, y, threads=threads, form="tiles", bias=bias, residual=residual)
    exact = x.astype(float) @ weight.T.astype(float) + bias + residual
    magnitude = np.abs(x).astype(float) @ np.abs(weight).T + np.abs(bias) + np.abs(residual)
    assert np.all(np.abs(y - exact) <= 2e-6 * magnitude)
    assert np.isnan(np.concatenate([memory[:17], memory[17 + batch * out :]])).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("width", [1024, 1030, 2048])
def test_rows_any_distance_apart_are_moved_whole(isa: str, precision: str, width: int) -> None:
    weight = np.zeros((width, width), np.float32)
    weight[np.arange(width), RNG.permutation(width)] = half(width)
    row, column = np.nonzero(weight)
    starts = np.arange(width + 1, dtype=np.int32)
    product = _native.pack_csr(
        weight[row, column], column.astype(np.int32), starts, width, isa=isa, precision=precision
    )
    for batch in (1, 7, 16, 33, 70):
        for threads in (1, 3):
            check(product, weight, batch, threads)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("columns", [1, 31, 32, 63, 64, 65, 66])
@pytest.mark.parametrize("rows", [4, 8, 20, 40])
def test_groups_that_share_columns_agree(isa: str, precision: str, columns: int, rows: int) -> None:
    blocks = 5
    values = half(blocks, rows, columns)
    weight = np.zeros((blocks * rows, blocks * columns), np.float32)
    for b in range(blocks):  # strides of 5: neighbours belong to different blocks
        weight[b::blocks, b::blocks] = values[b]
    product = _native.pack_block_diagonal(
        values, None, None, weight.shape[1], weight.shape[0],
        row_stride=blocks, col_stride=blocks, isa=isa, precision=precision,
    )  # fmt: skip
    for batch in (3, 16, 33, 64):
        check(product, weight, batch, threads=2)
