"""How wide tiles are, and what weights run on them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

needs_avx2 = pytest.mark.skipif("avx2" not in _native.isas(), reason="needs AVX2")
needs_avx512 = pytest.mark.skipif("avx512" not in _native.isas(), reason="needs AVX-512")


def packed(isa: str, density: float, kind: int = 1) -> _native.Product:
    """1,104 x 1,104, `kind` rows of each pattern."""
    rng = np.random.default_rng(0)
    mask = np.repeat(rng.random((1104 // kind, 1104)) < density, kind, axis=0)
    row, column = np.nonzero(mask)
    starts = np.searchsorted(row, np.arange(1105)).astype(np.int32)
    values = rng.standard_normal(len(row)).astype(np.float32)
    return _native.pack_csr(values, column.astype(np.int32), starts, 1104, isa=isa)


@needs_avx2
def test_groups_have_tiles_of_three_vectors_where_registers_are_few() -> None:
    groups = packed("avx2", 0.1, kind=4)
    assert groups.planned_tile(200) == (24, False)
    assert packed("avx2", 0.1).planned_tile(200) == (32, False)


@needs_avx2
@pytest.mark.parametrize(("batch", "rows"), [(32, 16), (48, 24), (64, 16), (96, 24), (2000, 24)])
def test_threads_get_equal_shares_of_tiles_that_fill_the_registers(batch: int, rows: int) -> None:
    assert packed("avx2", 0.1, kind=4).planned_tile(batch, threads=2) == (rows, False)


@needs_avx512
@pytest.mark.parametrize(("batch", "rows"), [(32, 16), (64, 16), (96, 16), (2000, 64)])
def test_tiles_of_wide_vectors_may_be_one_vector(batch: int, rows: int) -> None:
    assert packed("avx512", 0.1, kind=8).planned_tile(batch, threads=2) == (rows, False)


@needs_avx512
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_do_not_decide_between_code_and_table(threads: int) -> None:
    product = packed("avx512", 0.1)  # 121,000 entries
    assert product.generated
    for batch in range(1, 1200, 13):
        assert product.planned_tile(batch, threads=threads)[1] == (batch > 64)


@needs_avx512
def test_tables_have_narrower_tiles_than_code() -> None:
    assert packed("avx512", 0.1).planned_tile(800) == (256, True)
    assert packed("avx512", 0.05).planned_tile(800) == (64, False)
