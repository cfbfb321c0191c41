"""Unstructured rows over tiles, panel by panel, against dense products in float64."""

from itertools import product as product_of

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

ISAS = _native.test_isas()
PRECISIONS = ("float32", "bfloat16")
PAIRS = ("scalar", "avx512_bf16", "amx_bf16")
WITH_ROWS = [(isa, "float32") for isa in ISAS] + [(isa, "bfloat16") for isa in ISAS if isa in PAIRS]
BATCHES = (2, 8, 9, 16, 17, 33, 48, 64, 65, 130)


def rounded(values: Floats) -> Floats:
    """To bf16, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def weight_of(out: int, in_: int, density: float) -> Floats:
    rng = np.random.default_rng(out * in_)
    mask = rng.random((out, in_)) < density
    mask[out // 2] = False
    mask[out // 3, in_ // 4 :] = False  # nothing in the later panels
    return np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32)


def packed(weight: Floats, isa: str, precision: str) -> _native.Product:
    row, column = np.nonzero(weight)
    starts = np.searchsorted(row, np.arange(len(weight) + 1)).astype(np.int32)
    return _native.pack_csr(
        weight[row, column],
        column.astype(np.int32),
        starts,
        weight.shape[1],
        isa=isa,
        precision=precision,
        generate=False,
    )


@pytest.mark.parametrize(("isa", "precision"), WITH_ROWS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("out", "in_", "panels"), [(300, 1500, 4), (65, 449, 2), (5, 40, 1)])
def test_all_panels_agree_with_the_dense_product(
    isa: str, precision: str, threads: int, out: int, in_: int, panels: int
) -> None:
    weight = weight_of(out, in_, 0.1)
    product = packed(weight, isa, precision)
    assert product.panels == panels
    rng = np.random.default_rng(1)
    bias = rng.standard_normal(out).astype(np.float32)
    for batch in BATCHES:
        x = rng.standard_normal((batch, in_)).astype(np.float32)
        residual = rng.standard_normal((batch, out)).astype(np.float32)
        y = product(
            x, bias=bias, residual=residual, activation="relu", form="tiles", threads=threads
        )
        if precision == "bfloat16":
            x, stored = rounded(x), rounded(weight)
        else:
            stored = weight
        sums = x.astype(float) @ stored.T.astype(float)
        tolerance = 1e-5 * (1 + np.abs(x).astype(float) @ np.abs(stored).T.astype(float))
        expected = np.maximum(sums + bias + residual, 0)
        assert (np.abs(y - expected) <= tolerance).all(), batch


@pytest.mark.parametrize(("isa", "precision"), WITH_ROWS)
def test_entries_may_come_in_any_order_and_twice(isa: str, precision: str) -> None:
    rng = np.random.default_rng(2)
    out, in_, count = 70, 1000, 101
    columns = rng.integers(0, in_, (out, count)).astype(np.int32)
    values = rng.integers(-8, 9, (out, count)).astype(np.float32)  # exact in bf16, and summed so
    weight = np.zeros((out, in_))
    for o in range(out):
        np.add.at(weight[o], columns[o], values[o])
    starts = (np.arange(out + 1) * count).astype(np.int32)
    product = _native.pack_csr(
        values.ravel(), columns.ravel(), starts, in_, isa=isa, precision=precision, generate=False
    )
    assert product.panels > 1
    x = rng.integers(-4, 5, (50, in_)).astype(np.float32)
    np.testing.assert_array_equal(product(x, form="tiles"), x.astype(float) @ weight.T)


@pytest.mark.parametrize(("isa", "precision"), WITH_ROWS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_reaches_only_rows_that_store_it(
    isa: str, precision: str, value: float
) -> None:
    weight = np.abs(weight_of(130, 900, 0.1))  # no cancelling
    product = packed(weight, isa, precision)
    assert product.panels == 3
    for column, batch in product_of((0, 299, 300, 899), (9, 33, 64)):
        x = np.ones((batch, 900), np.float32)
        x[:, column] = value
        y = product(x, form="tiles")
        hit = weight[:, column] != 0
        assert np.isfinite(y[:, ~hit]).all()
        wrong = np.isnan(y) if np.isnan(value) else y == np.inf
        assert wrong[:, hit].all(), (column, batch)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_that_share_their_columns_stay_together(isa: str, precision: str) -> None:
    weight = np.repeat(weight_of(20, 60, 0.3), 4, axis=0)
    assert packed(weight, isa, precision).panels == 0


def test_panels_too_wide_for_their_columns_are_left_to_groups() -> None:
    weight = weight_of(30, 70_000, 1e-4)
    product = packed(weight, "scalar", "float32")
    assert product.panels == 0
    x = np.random.default_rng(0).standard_normal((20, 70_000)).astype(np.float32)
    np.testing.assert_allclose(product(x, form="tiles"), x @ weight.T, rtol=1e-4, atol=1e-4)


def test_segments_are_worth_their_sums() -> None:
    panels = [packed(weight_of(100, 4096, d), "scalar", "float32").panels for d in (0.5, 0.02)]
    assert panels[0] > panels[1] > 1
    assert packed(weight_of(100, 4096, 0.002), "scalar", "float32").panels == 1


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa not in PAIRS])
def test_without_pairs_rows_in_bf16_are_left_to_groups(isa: str) -> None:
    assert packed(weight_of(100, 500, 0.1), isa, "bfloat16").panels == 0


@pytest.mark.parametrize(("isa", "precision"), WITH_ROWS)
def test_the_number_of_threads_does_not_change_a_bit(isa: str, precision: str) -> None:
    product = packed(weight_of(300, 1500, 0.1), isa, precision)
    for batch in (48, 70, 300) if "emulated" in isa or isa == "scalar" else (48, 70, 800, 1000):
        x = np.random.default_rng(batch).standard_normal((batch, 1500)).astype(np.float32)
        expected = product(x, form="tiles")
        for threads in (2, 5, 8):
            np.testing.assert_array_equal(product(x, form="tiles", threads=threads), expected)


@pytest.mark.parametrize("isa", [isa for isa in ISAS if "emulated" not in isa])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [40, 100])
def test_results_taken_out_in_stripes_agree_with_a_dense_product(
    isa: str, threads: int, batch: int
) -> None:
    weight = weight_of(4500, 60, 0.1)
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, 60)).astype(np.float32)
    residual = rng.standard_normal((batch, 4500)).astype(np.float32)
    memory = np.full(batch * 4500 + 40, np.nan, np.float32)
    y = memory[17:-23].reshape(batch, 4500)
    product = packed(weight, isa, "float32")
    product.run(x, y, residual=residual, activation="relu", form="tiles", threads=threads)
    expected = np.maximum(x.astype(float) @ weight.T.astype(float) + residual, 0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(memory[:17]).all() and np.isnan(memory[-23:]).all()
