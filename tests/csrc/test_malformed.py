"""Malformed weights and operands are refused with one clear line, and never crash."""

from typing import Any

import numpy as np
import pytest

from nfcompile import _native

CSR: dict[str, Any] = {
    "values": np.ones(3, np.float32),
    "indices": np.array([0, 2, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
    "in_features": 3,
}
BSR: dict[str, Any] = {
    "values": np.ones((3, 2, 4), np.float32),
    "indices": np.array([0, 2, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
    "in_features": 12,
}
BLOCKS: dict[str, Any] = {
    "values": np.ones((2, 2, 3), np.float32),
    "rows": np.arange(4, dtype=np.int32),
    "cols": np.arange(6, dtype=np.int32),
    "in_features": 6,
    "out_features": 4,
}


@pytest.mark.parametrize("isa", _native.test_isas())
@pytest.mark.parametrize("weights", [CSR, BSR], ids=["csr", "bsr"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.array([0, 3, 1], np.int32)}, r"must lie in 0 .. 2 .*, got 3 at entry 1"),
        ({"indices": np.array([0, -1, 1], np.int32)}, r"must lie in 0 .. 2 .*, got -1"),
        ({"indices": np.array([0, 1], np.int32)}, "as many entries as values, 3, got 2"),
        ({"indptr": np.array([0, 2, 1], np.int32)}, "must not descend, got 1 after 2 at row 1"),
        ({"indptr": np.array([1, 2, 3], np.int32)}, "must start with 0, got 1"),
        ({"indptr": np.array([0, 2, 4], np.int64)}, "must end with the number of entries, 3"),
        ({"indptr": np.array([0, 2], np.int64)}, "must end with the number of entries, 3, got 2"),
        ({"indptr": np.zeros(0, np.int32)}, "must have at least one entry"),
        ({"indptr": np.array([0.0, 2, 3])}, "must be of type"),
        ({"in_features": -12}, "in_features must lie in 0"),
        ({"in_features": 2**33}, "in_features must lie in 0"),
    ],
)
def test_malformed_rows_are_refused(
    isa: str, weights: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    pack = _native.pack_csr if weights is CSR else _native.pack_bsr
    with pytest.raises(ValueError, match=message) as caught:
        pack(**{**weights, **change}, isa=isa)
    assert "\n" not in str(caught.value)
    pack(**weights, isa=isa)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_features": 13}, "multiple of the columns of a BSR block, 4, got 13"),
        ({"values": np.ones((3, 0, 4), np.float32)}, "at least 1 x 1, got 0 x 4"),
    ],
)
def test_bsr_blocks_must_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.pack_bsr(**{**BSR, **change})


@pytest.mark.parametrize("isa", _native.test_isas())
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.array([0, 1, 2, 4], np.int32)}, r"rows must lie in -1 .. 3, got 4 at entry 3"),
        ({"rows": np.array([0, 1, 2, 2], np.int32)}, "every output once, got 2 twice"),
        ({"rows": np.array([0, 1, 2, -1], np.int32)}, "every output once, got no 3"),
        ({"rows": np.arange(3, dtype=np.int32)}, "rows must have blocks x 2 = 4 entries, got 3"),
        ({"cols": np.array([0, 1, 2, 3, 4, 6], np.int32)}, r"cols must lie in -1 .. 5, got 6"),
        ({"cols": np.array([0, 1, 2, 3, 4, -2], np.int32)}, r"cols must lie in -1 .. 5, got -2"),
        ({"rows": None}, "exactly one of rows and row_stride must be given, got neither"),
        ({"col_stride": 1}, "exactly one of cols and col_stride must be given, got both"),
        ({"rows": None, "row_stride": 3}, "row_stride must divide the number of blocks, 2, got 3"),
        ({"rows": None, "row_stride": -1}, "row_stride must divide the number of blocks"),
        ({"cols": None, "col_stride": 1, "in_features": 5}, "= 6 cols must fit in the 5"),
        ({"values": np.ones((2, 2, 0), np.float32)}, "at least 1 x 1, got 2 x 0"),
        ({"out_features": -4}, "out_features must lie in 0"),
    ],
)
def test_malformed_blocks_are_refused(isa: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.pack_block_diagonal(**{**BLOCKS, **change}, isa=isa)
    _native.pack_block_diagonal(**BLOCKS, isa=isa)


def test_operands_of_another_shape_are_refused() -> None:
    product = _native.pack_csr(**CSR)
    x, y = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    product.run(x, y)
    with pytest.raises(ValueError, match=r"x must have shape \(2, 3\), got \(2, 4\)"):
        product.run(np.ones((2, 4), np.float32), y)
    with pytest.raises(ValueError, match=r"y must have shape \(2, 2\), got \(1, 2\)"):
        product.run(x, y[:1])
    with pytest.raises(ValueError, match="bias must have shape"):
        product.run(x, y, bias=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="residual must have shape"):
        product.run(x, y, residual=np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"activation must be one of none, relu,.*got swish"):
        product.run(x, y, activation="swish")


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"isa must be one of .*scalar.*, got sse9"):
        _native.pack_csr(**CSR, isa="sse9")


def test_the_table_ends_with_a_scalar_kernel() -> None:
    isas = _native.isas()
    assert isas[-1] == "scalar"
    assert _native.test_isas()[: len(isas)] == isas
    assert _native.selected_isa() in isas
