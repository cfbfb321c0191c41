"""Products with weights in bf16 over the rows of x: where the machine has them, of pairs."""

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from support_products import RNG, Floats, check_product, half

from nfcompile import _native

BATCHES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33]
ISAS = [isa for isa in _native.test_isas() if isa != "scalar"]
pytestmark = pytest.mark.parametrize("isa", ISAS)


def check(product: _native.Product, weight: Floats) -> None:
    for batch in BATCHES:
        check_product(product, weight, batch, threads=3, form="rows")


def is_paired(isa: str, product: _native.Product) -> bool:
    """Whether a product multiplies pairs, as none does without the instructions."""
    paired = "bf16_avx512_bf16" in product.description
    assert not paired or isa in ("avx512_bf16", "amx_bf16")
    return paired


def bsr(height: int, width: int, isa: str) -> tuple[_native.Product, Floats]:
    mask = RNG.random((5, 7)) < 0.5
    mask[1], mask[3, 2], mask[4] = False, True, True
    values = half(int(mask.sum()), height, width)
    weight = np.zeros((5 * height, 7 * width), np.float32)
    for value, row, column in zip(values, *np.nonzero(mask), strict=True):
        weight[row * height :, column * width :][:height, :width] = value
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    indices = np.nonzero(mask)[1].astype(np.int32)
    made = _native.pack_bsr(values, indices, starts, 7 * width, isa=isa, precision="bfloat16")
    return made, weight


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 14, 15, 16, 34])
@pytest.mark.parametrize("height", [11, 16, 20, 32, 47, 80])
def test_block_sparse_rows_agree_with_the_dense_product(isa: str, height: int, width: int) -> None:
    product, weight = bsr(height, width, isa)
    fills = height / (-(-height // 16) * 16) >= 0.6
    wanted = isa in ("avx512_bf16", "amx_bf16") and width % 2 == 0 and fills
    assert is_paired(isa, product) == wanted
    check(product, weight)


def places(blocks: int, size: int, stride: int) -> NDArray[np.int64]:
    block, element = np.arange(blocks)[:, None], np.arange(size)
    return block // stride * (size * stride) + element * stride + block % stride


def diagonal(
    shape: tuple[int, int, int], strides: tuple[int, int], isa: str, *, listed: bool = False
) -> tuple[_native.Product, Floats]:
    """Blocks (count, rows, columns); strides of rows and columns, told by lists if `listed`."""
    blocks, height, width = shape
    values = half(*shape)
    rows, cols = places(blocks, height, strides[0]), places(blocks, width, strides[1])
    if listed:
        rows, cols = (RNG.permutation(side.ravel()).reshape(side.shape) for side in (rows, cols))
    weight = np.zeros((blocks * height, blocks * width), np.float32)
    weight[rows[:, :, None], cols[:, None, :]] = values
    lists = [side.ravel().astype(np.int32) if listed else None for side in (rows, cols)]
    told = {} if listed else {"row_stride": strides[0], "col_stride": strides[1]}
    made = _native.pack_block_diagonal(
        values, *lists, blocks * width, blocks * height, isa=isa, precision="bfloat16", **told
    )
    return made, weight


@pytest.mark.parametrize("strides", [(1, 1), (16, 16), (32, 32), (1, 32), (32, 1), (4, 4)])
@pytest.mark.parametrize("sizes", [(16, 16), (32, 32), (2, 2), (18, 34), (16, 15), (5, 6)])
@pytest.mark.parametrize("listed", [False, True])
def test_block_diagonals_agree_with_the_dense_product(
    isa: str, strides: tuple[int, int], sizes: tuple[int, int], listed: bool
) -> None:
    product, weight = diagonal((32, *sizes), strides, isa, listed=listed)
    wanted = isa in ("avx512_bf16", "amx_bf16") and sizes[1] % 2 == 0
    interleaved = not listed and strides == (4, 4) and sizes[0] % 4 == 0
    square = sizes[0] == sizes[1] and not listed and strides[0] == strides[1]
    run = sizes[0] * strides[0]
    shuffled = square and run < 16 and 16 % run == 0
    assert is_paired(isa, product) == (wanted and not interleaved and not shuffled)
    check(product, weight)


@pytest.mark.parametrize("listed", [False, True])
def test_blocks_that_fill_no_vector_of_lanes(isa: str, listed: bool) -> None:
    for strides in ((1, 1), (33, 33), (3, 1)):
        check(*diagonal((33, 5, 6), strides, isa, listed=listed))


def test_rows_are_rounded_to_nearest(isa: str) -> None:
    for product, weight in (
        bsr(32, 6, isa),
        diagonal((32, 16, 16), (1, 1), isa),
        diagonal((32, 16, 16), (32, 32), isa),
    ):
        x = RNG.standard_normal((5, weight.shape[1])).astype(np.float32)
        taken = x.astype(ml_dtypes.bfloat16) if is_paired(isa, product) else x
        y = np.empty((5, len(weight)), np.float32)
        product.run(x, y, form="rows")
        exact = taken.astype(np.float64) @ weight.astype(np.float64).T
        magnitude = np.abs(x).astype(np.float64) @ np.abs(weight).astype(np.float64).T
        assert np.all(np.abs(y - exact) <= 2e-6 * magnitude)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_reaches_its_own_rows_only(isa: str, bad: float) -> None:
    for product, weight in (
        bsr(32, 6, isa),
        diagonal((32, 16, 16), (1, 1), isa),
        diagonal((32, 16, 16), (32, 32), isa),
    ):
        for column in (0, weight.shape[1] - 1):
            x = half(5, weight.shape[1])
            x[2, column] = bad
            y = np.zeros((5, len(weight)), np.float32)
            product.run(x, y, form="rows")
            reached = ~np.isfinite(y)
            assert reached[2].tolist() == (weight[:, column] != 0).tolist()
            assert not np.delete(reached, 2, axis=0).any()
