"""The kernels of a training step against dense float64 products, around every vector width."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nfcompile import _native

SIZES = [1, 7, 8, 9, 16, 17, 33]
BATCHES = [0, 1, 7, 8, 9, 17, 64, 65]
ISAS = _native.test_isas()
GUARD = 19


@dataclass(frozen=True)
class Case:
    """A CSR weight and the dense matrix [out, in] that it stands for."""

    dense: NDArray[np.float64]
    values: NDArray[np.float32]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]


def case_of(out: int, in_: int, density: float = 0.3) -> Case:
    rng = np.random.default_rng(out * 1000 + in_)
    mask = rng.random((out, in_)) < density
    if out > 2:
        mask[out // 2] = False
        mask[-1] = False
        mask[0] = True
    dense = np.where(mask, rng.standard_normal((out, in_)), 0).astype(np.float32)
    row, column = np.nonzero(mask)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    return Case(dense.astype(np.float64), dense[row, column], column.astype(np.int32), indptr)


def guarded(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An array of NaN off any vector's alignment, and the memory with guards that it lies in."""
    size = int(np.prod(shape))
    memory = np.full(size + 2 * GUARD, np.nan, np.float32)
    return memory[GUARD : GUARD + size].reshape(shape), memory


def assert_close(
    got: NDArray[np.float32], left: NDArray[np.float64], right: NDArray[np.float64]
) -> None:
    """`got` is left @ right but for the rounding of a float32 sum."""
    magnitude = np.abs(left) @ np.abs(right)
    assert np.all(np.abs(got - left @ right) <= 2e-6 * (magnitude + 1e-6))


def check(case: Case, isa: str, batch: int, threads: int = 1) -> list[NDArray[np.float32]]:
    """Runs both calls into NaN, compares with dense products, and gives all outputs."""
    out, in_ = case.dense.shape
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, in_)).astype(np.float32)
    dy = rng.standard_normal((batch, out)).astype(np.float32)
    arrays = [guarded(shape) for shape in ((batch, out), (batch, in_), case.values.shape)]
    (y, dx, dvalues), memories = zip(*arrays, strict=True)
    weight = (case.values, case.indices, case.indptr)
    _native.csr_forward(x, *weight, y, threads=threads, isa=isa)
    _native.csr_backward(dy, x, *weight, dx, dvalues, threads=threads, isa=isa)
    x64, dy64 = x.astype(np.float64), dy.astype(np.float64)
    assert_close(y, x64, case.dense.T)
    assert_close(dx, dy64, case.dense)
    dense_dvalues = np.full((out, in_), np.nan, np.float32)
    rows = np.repeat(np.arange(out), np.diff(case.indptr))
    dense_dvalues[rows, case.indices] = dvalues
    stored = np.zeros((out, in_), bool)
    stored[rows, case.indices] = True
    assert_close(np.where(stored, dense_dvalues, dy64.T @ x64), dy64.T, x64)
    for array, memory in zip((y, dx, dvalues), memories, strict=True):
        guards = np.concatenate([memory[:GUARD], memory[GUARD + array.size :]])
        assert np.isnan(guards).all(), "wrote outside of an output"
    return [y, dx, dvalues]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("out", SIZES)
def test_a_step_agrees_with_dense_products(isa: str, out: int) -> None:
    for in_ in SIZES:
        for batch in BATCHES:
            check(case_of(out, in_), isa, batch)


@pytest.mark.parametrize("isa", ISAS)
def test_long_rows_and_large_batches_agree(isa: str) -> None:
    check(case_of(70, 515), isa, 33)
    check(case_of(9, 20), isa, 1100)


@pytest.mark.parametrize("isa", ISAS)
def test_threads_do_not_change_a_bit(isa: str) -> None:
    case = case_of(261, 530, 0.4)
    alone = check(case, isa, 70, threads=1)
    for threads in (2, 3, 16):
        for one, many in zip(alone, check(case, isa, 70, threads), strict=True):
            np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("out", "in_"), [(0, 5), (5, 0), (0, 0), (40, 30)])
def test_weights_without_entries_give_zero(isa: str, out: int, in_: int) -> None:
    none = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(out + 1, np.int32)
    for batch in (0, 1, 9):
        x, dy = np.ones((batch, in_), np.float32), np.ones((batch, out), np.float32)
        y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
        _native.csr_forward(x, *none, y, isa=isa)
        _native.csr_backward(dy, x, *none, dx, np.zeros(0, np.float32), isa=isa)
        assert not y.any() and not dx.any()


@pytest.mark.parametrize("isa", ISAS)
def test_an_infinite_row_of_the_batch_stays_in_its_row(isa: str) -> None:
    case = case_of(17, 9)
    x, dy = np.zeros((9, 9), np.float32), np.zeros((9, 17), np.float32)
    x[4], dy[4] = np.inf, np.inf
    y, dx = np.empty_like(dy), np.empty_like(x)
    weight = (case.values, case.indices, case.indptr)
    _native.csr_forward(x, *weight, y, isa=isa)
    _native.csr_backward(dy, x, *weight, dx, None, isa=isa)
    others = np.arange(9) != 4
    assert not y[others].any() and not dx[others].any()
    assert not np.isfinite(y[4]).all() and not np.isfinite(dx[4]).all()


@pytest.mark.parametrize("isa", ISAS)
def test_duplicates_add_up_in_any_order(isa: str) -> None:
    weight = (
        np.array([1, 2, 4, 8], np.float32),
        np.array([2, 0, 2, 0], np.int32),
        np.array([0, 4], np.int32),
    )
    for batch in (1, 2):
        x, dy = np.tile(np.float32([1, 10, 100]), (batch, 1)), np.ones((batch, 1), np.float32)
        y, dx, dvalues = np.empty_like(dy), np.empty_like(x), np.empty(4, np.float32)
        _native.csr_forward(x, *weight, y, isa=isa)
        _native.csr_backward(dy, x, *weight, dx, dvalues, isa=isa)
        np.testing.assert_array_equal(y, np.full((batch, 1), 510))
        np.testing.assert_array_equal(dx, np.tile([10, 0, 5], (batch, 1)))
        np.testing.assert_array_equal(dvalues, batch * np.array([100, 1, 100, 1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.array([0, 3, 1], np.int32)}, r"must lie in 0 .. 2 .*, got 3 at entry 1"),
        ({"indices": np.array([0, -1, 1], np.int32)}, r"must lie in 0 .. 2 .*, got -1"),
        ({"indices": np.array([0, -(2**31), 1], np.int32)}, r"must lie in 0 .. 2"),
        ({"indices": np.array([0, 2**31 - 1, 1], np.int32)}, r"must lie in 0 .. 2"),
        ({"indptr": np.array([0, 4, 3], np.int32)}, "must not descend, got 3 after 4"),
        ({"indptr": np.array([0, -1, 3], np.int32)}, "must not descend, got -1 after 0"),
        ({"indptr": np.array([1, 2, 3], np.int32)}, "must start with 0, got 1"),
        ({"indptr": np.array([0, 2, 4], np.int32)}, "must end with the number of entries, 3"),
        ({"indptr": np.array([0, 3], np.int32)}, "indptr must have 3 entries"),
        ({"values": np.ones(2, np.float32)}, "values must have 3 entries"),
        ({"x": np.ones((4, 3), np.float32)}, "must have [45] entries in dimension 0"),
    ],
)
def test_malformed_operands_are_refused_by_both_calls(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "x": np.ones((5, 3), np.float32),
        "values": np.ones(3, np.float32),
        "indices": np.array([0, 2, 1], np.int32),
        "indptr": np.array([0, 2, 3], np.int32),
    } | change
    y = np.ones((5, 2), np.float32)
    dx, dvalues = np.ones((5, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=message) as forward:
        _native.csr_forward(**given, y=y)
    with pytest.raises(ValueError, match=message) as backward:
        _native.csr_backward(y, **given, dx=dx, dvalues=dvalues)
    assert "\n" not in str(forward.value) + str(backward.value)


def test_a_gradient_whose_operand_is_missing_is_refused() -> None:
    case = case_of(2, 3)
    dy, dx = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)
    with pytest.raises(ValueError, match="values must be given for dx"):
        _native.csr_backward(dy, dx, None, case.indices, case.indptr, dx, None)
    with pytest.raises(ValueError, match="x must be given for dvalues"):
        _native.csr_backward(dy, None, None, case.indices, case.indptr, None, case.values)
