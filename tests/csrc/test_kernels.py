"""Every kernel of the table against a dense float64 product, around every vector width."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product as product_of
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]
Pack = Callable[[str], _native.Product]

SIZES = [1, 7, 8, 9, 15, 16, 17, 33, 70]
BATCHES = [0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 64, 65]
KERNELS = _native.kernels()
ISAS = {k["family"]: [o["isa"] for o in KERNELS if o["family"] == k["family"]] for k in KERNELS}


@dataclass(frozen=True)
class Case:
    """Weights and the dense matrix [out, in] that they stand for."""

    dense: NDArray[np.float64]
    pack: Pack


def csr_case(
    out: int, in_: int, density: float, index: Any = np.int32, indptr: Any = np.int32
) -> Case:
    rng = np.random.default_rng(out * 1000 + in_)
    mask = rng.random((out, in_)) < density
    if out > 2:
        mask[out // 2] = False
        mask[-1] = False
        mask[0] = True
    dense = np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32)
    row, column = np.nonzero(mask)
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(indptr)
    values, indices = dense[row, column], column.astype(index)

    def pack(isa: str) -> _native.Product:
        return _native.pack_csr(values, indices, starts, in_, isa=isa)

    return Case(dense.astype(np.float64), pack)


def bsr_case(r: int, c: int, index: Any = np.int32, indptr: Any = np.int32) -> Case:
    rng = np.random.default_rng(r * 100 + c)
    mask = rng.random((6, 5)) < 0.5
    mask[2] = False
    blocks = rng.standard_normal((6, 5, r, c)).astype(np.float32) * mask[:, :, None, None]
    row, column = np.nonzero(mask)
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(indptr)
    values, indices = np.ascontiguousarray(blocks[row, column]), column.astype(index)

    def pack(isa: str) -> _native.Product:
        return _native.pack_bsr(values, indices, starts, 5 * c, isa=isa)

    dense = blocks.transpose(0, 2, 1, 3).reshape(6 * r, 5 * c)
    return Case(dense.astype(np.float64), pack)


def rule(blocks: int, extent: int, stride: int) -> NDArray[np.int32]:
    b, e = np.arange(blocks)[:, None], np.arange(extent)
    return (b // stride * (extent * stride) + e * stride + b % stride).astype(np.int32)


def dense_of(
    values: Floats, rows: NDArray[np.int32], cols: NDArray[np.int32], out: int, in_: int
) -> NDArray[np.float64]:
    dense = np.zeros((out, in_))
    for block, row, col in zip(values, rows, cols, strict=True):
        keep = np.ix_(row >= 0, col >= 0)
        np.add.at(dense, np.ix_(row[row >= 0], col[col >= 0]), block[keep])
    return dense


def stride_case(b: int, r: int, c: int, row_stride: int, col_stride: int) -> Case:
    values = np.random.default_rng(b * r).standard_normal((b, r, c)).astype(np.float32)

    def pack(isa: str) -> _native.Product:
        return _native.pack_block_diagonal(
            values, None, None, b * c, b * r, row_stride=row_stride, col_stride=col_stride, isa=isa
        )

    return Case(
        dense_of(values, rule(b, r, row_stride), rule(b, c, col_stride), b * r, b * c), pack
    )


def list_case(b: int, r: int, c: int, padding: int) -> Case:
    rng = np.random.default_rng(b * r + c)
    values = rng.standard_normal((b, r, c)).astype(np.float32)
    rows, cols = (
        rng.permutation(np.concatenate([np.full(padding, -1), np.arange(b * n - padding)]))
        .astype(np.int32)
        .reshape(b, n)
        for n in (r, c)
    )
    # What a model stores under a padded column must not matter.
    values = np.where(cols[:, None, :] < 0, np.float32(np.nan), values)
    in_, out = b * c - padding, b * r - padding

    def pack(isa: str) -> _native.Product:
        return _native.pack_block_diagonal(values, rows.ravel(), cols.ravel(), in_, out, isa=isa)

    return Case(dense_of(values, rows, cols, out, in_), pack)


def check(case: Case, isa: str, batches: list[int], threads: int = 3) -> None:
    """Runs both forms into an output of NaN that is off any vector's alignment, with guards."""
    product = case.pack(isa)
    out, in_ = case.dense.shape
    assert (product.in_features, product.out_features) == (in_, out)
    for batch, form in product_of(batches, ("rows", "tiles")):
        rng = np.random.default_rng(batch)
        x = np.empty(batch * in_ + 1, np.float32)[1:].reshape(batch, in_)
        x[:] = rng.standard_normal((batch, in_))
        memory = np.full(batch * out + 40, np.nan, np.float32)
        y = memory[17 : 17 + batch * out].reshape(batch, out)
        product.run(x, y, threads=threads, form=form)
        expected = x.astype(np.float64) @ case.dense.T
        magnitude = np.abs(x.astype(np.float64)) @ np.abs(case.dense.T)
        # Twice the usual growth of float32 rounding over a sum.
        assert np.all(np.abs(y - expected) <= 4e-7 * (magnitude + 1e-6) * 4), (isa, batch, form)
        guards = np.concatenate([memory[:17], memory[17 + batch * out :]])
        assert np.isnan(guards).all(), "wrote outside of y"


@pytest.mark.parametrize("isa", ISAS["csr"])
@pytest.mark.parametrize("out", SIZES)
def test_csr_agrees_with_the_dense_product(isa: str, out: int) -> None:
    for in_ in SIZES:
        check(csr_case(out, in_, 0.3), isa, BATCHES)


@pytest.mark.parametrize("isa", ISAS["csr"])
@pytest.mark.parametrize("indptr", [np.int32, np.int64])
@pytest.mark.parametrize("index", [np.uint8, np.uint16, np.int32])
def test_csr_takes_every_index_type(isa: str, index: Any, indptr: Any) -> None:
    check(csr_case(130, 250, 0.1, index, indptr), isa, [1, 9])


@pytest.mark.parametrize("isa", ISAS["csr"])
def test_csr_crosses_panels_and_chunks(isa: str) -> None:
    check(csr_case(200, 3000, 0.2), isa, [1, 2, 40, 70])


@pytest.mark.parametrize("isa", ISAS["csr"])
def test_csr_takes_more_than_65536_columns(isa: str) -> None:
    check(csr_case(9, 70_001, 0.001), isa, [1])
    check(csr_case(3, 70_001, 0.01), isa, [1, 3])


@pytest.mark.parametrize("isa", ISAS["csr"])
def test_csr_adds_up_duplicates_in_any_order(isa: str) -> None:
    values = np.array([1, 2, 4, 8], np.float32)
    indices, indptr = np.array([2, 0, 2, 0], np.uint8), np.array([0, 4], np.int32)
    for batch in (1, 2):
        x = np.tile(np.array([1, 10, 100], np.float32), (batch, 1))
        y = _native.csr_matmul(x, values, indices, indptr, 3, isa=isa)
        np.testing.assert_array_equal(y, np.full((batch, 1), 510))


@pytest.mark.parametrize("isa", ISAS["csr"])
@pytest.mark.parametrize(("out", "in_"), [(0, 5), (5, 0), (0, 0), (40, 30)])
def test_weights_without_entries_give_zero(isa: str, out: int, in_: int) -> None:
    none = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(out + 1, np.int32)
    for batch in (0, 1, 2, 9):
        y = np.full((batch, out), np.nan, np.float32)
        _native.pack_csr(*none, in_, isa=isa).run(np.ones((batch, in_), np.float32), y)
        np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize("isa", ISAS["bsr"])
@pytest.mark.parametrize("r", [1, 2, 4, 5, 7, 8, 9, 12, 16, 17, 24, 32, 40])
def test_bsr_agrees_with_the_dense_product(isa: str, r: int) -> None:
    for c in (1, 3, 4, 8, 16, 17):
        check(bsr_case(r, c), isa, BATCHES)


@pytest.mark.parametrize("isa", ISAS["bsr"])
@pytest.mark.parametrize("indptr", [np.int32, np.int64])
@pytest.mark.parametrize("index", [np.uint8, np.uint16, np.int32])
def test_bsr_takes_every_index_type(isa: str, index: Any, indptr: Any) -> None:
    check(bsr_case(8, 8, index, indptr), isa, [1, 9])


@pytest.mark.parametrize("isa", ISAS["block_diagonal"])
@pytest.mark.parametrize("radix", [1, 2, 4, 8, 16, 32])
def test_butterfly_factors_agree_with_the_dense_product(isa: str, radix: int) -> None:
    stride = 1
    while stride * radix <= 128:
        check(stride_case(128 // radix, radix, radix, stride, stride), isa, [1, 2, 7, 12, 33])
        stride *= 2


@pytest.mark.parametrize("isa", ISAS["block_diagonal"])
@pytest.mark.parametrize("row_stride", [1, 3, 8, 16, 48])
@pytest.mark.parametrize("col_stride", [1, 3, 8, 16, 48])
def test_sides_with_their_own_strides_agree(isa: str, row_stride: int, col_stride: int) -> None:
    for r, c in ((1, 1), (2, 5), (9, 4), (16, 33), (13, 13)):
        check(stride_case(48, r, c, row_stride, col_stride), isa, [1, 5, 17])


@pytest.mark.parametrize("isa", ISAS["block_diagonal"])
@pytest.mark.parametrize("b", [1, 2, 5, 8, 17])
def test_lists_with_padding_agree_with_the_dense_product(isa: str, b: int) -> None:
    for r, c in ((2, 2), (3, 7), (8, 8), (17, 5), (40, 16)):
        for padding in (0, 2):
            check(list_case(b, r, c, padding), isa, [0, 1, 2, 7, 17])


@pytest.mark.parametrize("isa", ISAS["block_diagonal"])
def test_one_input_may_feed_several_blocks(isa: str) -> None:
    values = np.ones((3, 2, 2), np.float32)
    cols = np.array([0, 1, 0, 1, 1, 1], np.int32)
    rows = np.array([5, 4, 3, 2, 1, 0], np.int32)
    x = np.array([[1, 10]], np.float32)
    y = _native.block_diagonal_matmul(x, values, rows, cols, 2, 6, isa=isa)
    np.testing.assert_array_equal(y, [[20, 20, 11, 11, 11, 11]])


def test_a_list_that_follows_a_stride_is_recognized() -> None:
    values = np.ones((32, 4, 4), np.float32)
    index = rule(32, 4, 16).ravel()
    by_list = _native.pack_block_diagonal(values, index, index, 128, 128)
    by_rule = _native.pack_block_diagonal(
        values, None, None, 128, 128, row_stride=16, col_stride=16
    )
    assert by_list.description == by_rule.description


@pytest.mark.parametrize("isa", [isa for isa in _native.test_isas() if isa != "scalar"])
@pytest.mark.parametrize(
    "case",
    [csr_case(130, 515, 0.2), bsr_case(16, 16), bsr_case(3, 3), stride_case(32, 4, 4, 8, 8)],
    ids=["csr", "bsr", "bsr-small", "block-diagonal"],
)
def test_the_number_of_threads_does_not_change_a_bit(isa: str, case: Case) -> None:
    product = case.pack(isa)
    for batch, form in product_of((1, 5, 70, 1000), ("rows", "tiles")):
        rng = np.random.default_rng(1)
        x = rng.standard_normal((batch, product.in_features)).astype(np.float32)
        expected = product(x, form=form)
        for threads in (2, 8):
            np.testing.assert_array_equal(product(x, threads=threads, form=form), expected)


def test_large_products_are_shared_by_threads() -> None:
    product = csr_case(1000, 1000, 0.2).pack("")
    assert product.workers(1, threads=1) == 1
    assert product.workers(1, threads=2) == 2
    assert product.workers(64, threads=8) == 8
    assert csr_case(16, 16, 0.5).pack("").workers(1, threads=8) == 1
