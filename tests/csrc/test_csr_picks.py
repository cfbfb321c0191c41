"""CSR for a few rows of x, which lanes pick out of windows of two vectors."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

ISAS = [isa for isa in _native.test_isas() if isa.startswith("avx512")]
KINDS = [(isa, precision) for isa in ISAS for precision in ("float32", "bfloat16")]
pytestmark = pytest.mark.parametrize(("isa", "precision"), KINDS)


def half(values: NDArray[np.floating]) -> Floats:
    """Rounded to 8 bits, which bf16 holds: then only sums are rounded, in fp32."""
    bits = values.astype(np.float32).view(np.uint32) + 0x8000
    return (bits & 0xFFFF0000).view(np.float32)


@dataclass(frozen=True)
class Layer:
    """A weight [out, in] whose `mask` is stored."""

    weight: Floats
    mask: NDArray[np.bool_]

    def pack(self, isa: str, precision: str) -> _native.Product:
        row, column = np.nonzero(self.mask)
        starts = np.concatenate([[0], np.cumsum(self.mask.sum(axis=1))]).astype(np.int32)
        return _native.pack_csr(
            self.weight[row, column],
            column.astype(np.int32),
            starts,
            self.mask.shape[1],
            isa=isa,
            precision=precision,
        )


def random_layer(mask: NDArray[np.bool_]) -> Layer:
    values = np.random.default_rng(mask.size).standard_normal(mask.shape)
    return Layer(np.where(mask, half(values), np.float32(0)), mask)


def sample(batch: int, in_: int) -> Floats:
    """Off any vector's alignment."""
    x = np.empty(batch * in_ + 1, np.float32)[1:].reshape(batch, in_)
    x[:] = half(np.random.default_rng(batch).standard_normal((batch, in_)))
    return x


def check(layer: Layer, isa: str, precision: str, batches: list[int]) -> None:
    product = layer.pack(isa, precision)
    assert product.description.startswith("csr_picks")
    out, in_ = layer.mask.shape
    for batch in batches:
        x = sample(batch, in_)
        memory = np.full(batch * out + 40, np.nan, np.float32)
        y = memory[17 : 17 + batch * out].reshape(batch, out)
        product.run(x, y, threads=3, form="rows")
        expected = x.astype(np.float64) @ layer.weight.astype(np.float64).T
        magnitude = np.abs(x).astype(np.float64) @ np.abs(layer.weight).astype(np.float64).T
        assert np.all(np.abs(y - expected) <= 2e-6 * magnitude), (isa, precision, batch)
        guards = np.concatenate([memory[:17], memory[17 + batch * out :]])
        assert np.isnan(guards).all(), "wrote outside of y"


@pytest.mark.parametrize("in_", [32, 33, 47, 63, 64, 65, 100, 129, 1000])
def test_picks_agree_with_the_dense_product(isa: str, precision: str, in_: int) -> None:
    for out in (15, 16, 40, 64, 65, 130):
        mask = np.random.default_rng(out).random((out, in_)) < 0.3
        mask[0, : in_ // 3] = True
        mask[out // 2, ::2] = False
        check(random_layer(mask), isa, precision, [1, 2, 3, 4, 5, 8, 9, 17])


def test_lanes_wait_for_each_other(isa: str, precision: str) -> None:
    mask = np.random.default_rng(0).random((64, 256)) < 0.1
    mask[3, :128] = True  # far ahead of this lane the others have nothing to do
    mask[9, 128:] = True
    mask[20] = False
    check(random_layer(mask), isa, precision, [1, 6])


def test_nan_and_infinity_reach_only_rows_that_store_them(isa: str, precision: str) -> None:
    mask = np.random.default_rng(1).random((70, 200)) < 0.1
    layer = random_layer(mask)
    for value in (np.nan, np.inf):
        for column in (0, 31, 100, 199):
            x = sample(5, 200)
            x[2, column] = value
            y = np.empty((5, 70), np.float32)
            layer.pack(isa, precision).run(x, y, form="rows")
            reached = np.zeros_like(y, bool)
            reached[2] = mask[:, column]
            np.testing.assert_array_equal(np.isfinite(y), ~reached)


def test_duplicates_add_up_in_any_order(isa: str, precision: str) -> None:
    columns = np.array([90, 0, 90, 40, 0, 99] * 4, np.uint8)
    values = np.array([1, 2, 4, 8, 16, 32] * 4, np.float32)
    starts = np.array([0, 12, 12, 24], np.int32)
    product = _native.pack_csr(values, columns, starts, 100, isa=isa, precision=precision)
    x = np.zeros((2, 100), np.float32)
    x[:, [0, 40, 90, 99]] = [1, 3, 5, 7]
    y = np.empty((2, 3), np.float32)
    product.run(x, y, form="rows")
    once = 5 * 5 + 18 * 1 + 8 * 3 + 32 * 7
    np.testing.assert_array_equal(y, [[2 * once, 0, 2 * once]] * 2)


def test_the_number_of_threads_does_not_change_a_bit(isa: str, precision: str) -> None:
    product = random_layer(np.random.default_rng(2).random((500, 300)) < 0.2).pack(isa, precision)
    for batch in (1, 7, 30):
        x = sample(batch, 300)
        expected = product(x, form="rows")
        for threads in (2, 8):
            np.testing.assert_array_equal(product(x, threads=threads, form="rows"), expected)


def test_where_lanes_would_idle_x_is_gathered(isa: str, precision: str) -> None:
    few = random_layer(np.random.default_rng(3).random((128, 4000)) < 0.002)
    assert not few.pack(isa, precision).description.startswith("csr_picks")
    one_long = np.zeros((64, 4000), bool)
    one_long[5] = True
    assert not random_layer(one_long).pack(isa, precision).description.startswith("csr_picks")
