"""Products over tiles: rows that compete for sets of a cache, groups that share columns."""

from itertools import product as product_of
from typing import Any

import numpy as np
import pytest
from support_products import RNG, Floats, check_product, half

from nfcompile import _native

pytestmark = [
    pytest.mark.parametrize("isa", _native.test_isas()),
    pytest.mark.parametrize("precision", ["float32", "bfloat16"]),
]


@pytest.mark.parametrize("width", [1024, 1030, 2048])
def test_rows_any_distance_apart_are_moved_whole(isa: str, precision: str, width: int) -> None:
    weight = np.zeros((width, width), np.float32)
    weight[np.arange(width), RNG.permutation(width)] = half(width)
    row, column = np.nonzero(weight)
    starts = np.arange(width + 1, dtype=np.int32)
    product = _native.pack_csr(
        weight[row, column], column.astype(np.int32), starts, width, isa=isa, precision=precision
    )
    for batch, threads in product_of((1, 7, 16, 33, 70), (1, 3)):
        check_product(product, weight, batch, summands=True, threads=threads, form="tiles")


def shared(rows: int, columns: int, **how: Any) -> tuple[_native.Product, Floats]:
    """Five interleaved blocks of rows x columns: neighbours belong to different ones."""
    values = half(5, rows, columns)
    weight = np.zeros((5 * rows, 5 * columns), np.float32)
    for b in range(5):
        weight[b::5, b::5] = values[b]
    product = _native.pack_block_diagonal(
        values, None, None, 5 * columns, 5 * rows, row_stride=5, col_stride=5, **how
    )
    return product, weight


@pytest.mark.parametrize("columns", [1, 31, 32, 63, 64, 65, 66])
@pytest.mark.parametrize("rows", [4, 8, 20, 40])
def test_groups_that_share_columns_agree(isa: str, precision: str, columns: int, rows: int) -> None:
    product, weight = shared(rows, columns, isa=isa, precision=precision)
    for batch in (3, 16, 33, 64):
        check_product(product, weight, batch, summands=True, threads=2, form="tiles")


def test_columns_that_groups_share_are_stored_once(isa: str, precision: str) -> None:
    product, _ = shared(20, 60, isa=isa, precision=precision)  # groups of 8, 8 and 4 or of 4
    once = (4 if precision == "float32" else 2) * 5 * 20 * 60 + 4 * 5 * 60
    assert product.amx_columns or once <= product.tile_bytes <= once + 500  # padding of pairs


@pytest.mark.parametrize("activation", ["none", "relu", "clip", "gelu"])
@pytest.mark.parametrize("mode", [None, 0, 1, 2])
def test_epilogues_agree_with_the_scalar_twin(
    isa: str, precision: str, activation: str, mode: int | None
) -> None:
    seed = RNG.bit_generator.state
    product, weight = shared(40, 32, isa=isa, precision=precision)
    RNG.bit_generator.state = seed
    twin, _ = shared(40, 32, isa="scalar", precision=precision)
    x, residual = half(35, weight.shape[1]), half(35, len(weight))
    x[3, 7], x[4], residual[4], residual[5, ::2] = np.nan, -0.0, -0.0, np.nan
    options: dict[str, Any] = {"activation": activation, "form": "tiles"}
    if mode is not None:
        options |= {"residual": residual, "residual_mode": mode}
    for low, high, bias in product_of((-0.5, 2.0), (0.5,), (None, half(len(weight)))):
        options |= {"activation_alpha": low, "activation_beta": high, "bias": bias}
        np.testing.assert_allclose(product(x, **options), twin(x, **options), rtol=1e-4, atol=1e-5)
