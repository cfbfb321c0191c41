"""Classes of equal rows, against numpy."""

import numpy as np
import pytest
import scipy.sparse

from nfcompile.sparse import duplicates
from nfcompile.sparse.duplicates import equal_rows, rows_differ

RNG = np.random.default_rng(0)


def repeated(distinct: int, rows: int, columns: int, density: float) -> np.ndarray:
    base = RNG.standard_normal((distinct, columns)) * (RNG.random((distinct, columns)) < density)
    return base[RNG.integers(0, distinct, rows)].astype(np.float32)


def by_numpy(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, first, inverse = np.unique(dense, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[inverse.reshape(-1)]


@pytest.mark.parametrize(
    ("distinct", "rows", "columns", "density"),
    [(1, 5, 4, 0.5), (3, 40, 17, 0.2), (40, 40, 9, 0.3), (6, 30, 300, 0.02), (4, 8, 5, 0.0)],
)
def test_the_classes_are_numpys(distinct: int, rows: int, columns: int, density: float) -> None:
    dense = repeated(distinct, rows, columns, density)
    first, inverse = equal_rows(scipy.sparse.csr_array(dense), None)
    for found, expected in zip((first, inverse), by_numpy(dense), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rows_that_differ_in_the_extra_number_are_apart() -> None:
    dense = repeated(1, 6, 8, 0.5)
    extra = np.array([0.0, 1.0, -0.0, 1.0, 2.0, 0.0])
    first, inverse = equal_rows(scipy.sparse.csr_array(dense), extra)
    np.testing.assert_array_equal(first, [0, 1, 4])
    np.testing.assert_array_equal(inverse, [0, 1, 0, 1, 2, 0])


def test_the_same_values_in_other_columns_are_another_row() -> None:
    first, _ = equal_rows(scipy.sparse.csr_array(np.eye(5, dtype=np.float32)), None)
    np.testing.assert_array_equal(first, np.arange(5))


def test_hashes_that_meet_merge_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_mix", np.zeros_like)
    first, inverse = equal_rows(scipy.sparse.csr_array(np.eye(4, dtype=np.float32)), None)
    np.testing.assert_array_equal(first, np.arange(4))
    np.testing.assert_array_equal(inverse, np.arange(4))


def test_a_quick_look_tells_distinct_rows_apart() -> None:
    assert rows_differ(np.eye(7, 4, dtype=np.float32)[:5])  # the last of these is zero
    assert not rows_differ(np.eye(7, 4, dtype=np.float32))
    assert not rows_differ(np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32))
    assert not rows_differ(np.asfortranarray(repeated(3, 9, 5, 0.5)))
