"""How outputs are compared."""

import ml_dtypes
import numpy as np
import pytest

from nfcompile.compare import Tolerance, VerifyReport, compare
from nfcompile.errors import InputError

REF = np.linspace(-3, 5, 40, dtype=np.float32)


def check(ref: np.ndarray, got: np.ndarray, **tolerance: float) -> VerifyReport:
    return compare([{"y": ref}], [{"y": got}], Tolerance(**tolerance))


def test_equal_outputs_pass() -> None:
    report = check(REF, REF.copy())
    assert report.passed
    assert bool(report)
    assert report.outputs[0].max_abs == 0


@pytest.mark.parametrize("error", [1e-2, np.nan, np.inf])
def test_one_wrong_element_fails_and_is_counted(error: float) -> None:
    got = REF.copy()
    got[7] += error
    report = check(REF, got)
    assert not report
    assert report.outputs[0].mismatched == 1
    assert report.outputs[0].size == 40


def test_the_default_tolerance_follows_the_scale_of_the_output() -> None:
    for scale in (1e-6, 1.0, 1e6):
        ref = (REF * scale).astype(np.float32)
        assert check(ref, ref + np.float32(2e-5 * scale)).passed
        assert not check(ref, ref + np.float32(2e-3 * scale)).passed


def test_given_tolerances_are_taken_as_they_are() -> None:
    assert check(REF, REF + np.float32(0.05), atol=0.1, rtol=0).passed
    assert not check(REF, REF + np.float32(0.05), atol=0.01, rtol=0).passed
    assert check(REF, REF * np.float32(1.05), atol=0, rtol=0.1).passed


def test_nan_equals_nan_and_infinity_its_own_sign_only() -> None:
    ref = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    assert check(ref, ref.copy()).passed
    assert check(ref, -ref).outputs[0].mismatched == 3


def test_a_missing_output_or_another_shape_fails() -> None:
    assert not compare([{"y": REF}], [{"z": REF}], Tolerance())
    assert not check(REF, REF[:-1])
    assert not check(REF[:0], REF)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8])
def test_integers_must_be_equal(dtype: type) -> None:
    ref = np.array([0, 1, 1, 0], dtype)
    assert check(ref, ref.copy()).passed
    assert check(ref, 1 - ref.astype(np.int8)).outputs[0].mismatched == 4


def test_strings_must_be_equal() -> None:
    ref = np.array(["a", "b"], object)
    assert check(ref, ref.copy()).passed
    assert not check(ref, np.array(["a", "c"], object))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_has_bounds_of_its_own(dtype: type) -> None:
    ref = REF.astype(dtype)
    assert check(ref, (REF * 1.005).astype(dtype)).passed
    assert not check(ref, (REF * 1.1).astype(dtype)).passed


def test_a_constant_reference_is_noted() -> None:
    report = check(np.zeros(9, np.float32), np.zeros(9, np.float32))
    assert report.passed
    assert "output y is constant on these inputs" in report.notes[0]


def test_a_reference_that_is_not_finite_is_noted() -> None:
    reference = np.array([1, np.nan, 2, np.inf], np.float32)
    report = check(reference, reference)
    assert report.passed
    assert report.notes == ("output y is NaN or infinite in 2 of 4 elements of the original",)


def test_all_samples_count() -> None:
    wrong = REF + 1
    report = compare([{"y": REF}, {"y": REF}], [{"y": REF}, {"y": wrong}], Tolerance())
    assert report.outputs[0].mismatched == 40
    assert report.outputs[0].size == 80


@pytest.mark.parametrize("bad", [{"rtol": -1.0}, {"atol": float("nan")}])
def test_bad_tolerances_are_told(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be at least 0"):
        Tolerance(**bad)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InputError, match="samples must be at least 1"):
        compare([], [], Tolerance())


def test_a_far_outlier_does_not_hide_errors_in_the_rest() -> None:
    for extreme in (-1e9, float(np.finfo(np.float32).min)):
        ref = np.concatenate([REF, np.full(200, extreme, np.float32)])
        got = ref.copy()
        got[:5] *= 1.01
        assert check(ref, got).outputs[0].mismatched == 5


def test_another_type_fails() -> None:
    assert not check(REF.round(), REF.round().astype(np.int64))


def test_an_output_without_a_finite_element_is_noted() -> None:
    assert check(np.full(5, np.nan, np.float32), np.full(5, np.nan, np.float32)).notes


def test_the_error_is_also_told_against_the_largest_element() -> None:
    right, got = np.array([1.0, -4.0, 0.001]), np.array([1.0, -4.0, 0.041])
    report = compare([{"y": right}], [{"y": got}], Tolerance())
    assert report.outputs[0].max_of_largest == pytest.approx(0.01)
    assert report.outputs[0].max_rel == 0  # of elements that are not tiny


def test_half_widens_the_bounds_of_wide_outputs() -> None:
    right, got = np.array([1.0, -4.0]), np.array([1.01, -4.0])
    assert not compare([{"y": right}], [{"y": got}], Tolerance()).passed
    assert compare([{"y": right}], [{"y": got}], Tolerance(half=True)).passed
    assert not compare([{"y": right}], [{"y": got * 1.1}], Tolerance(half=True)).passed


def values(ref: object, got: object) -> VerifyReport:
    return compare([{"y": ref}], [{"y": got}], Tolerance())


def test_sequences_are_compared_item_by_item() -> None:
    assert values([REF, REF[:3]], [REF.copy(), REF[:3]]).passed
    assert not values([REF, REF[:3]], [REF, REF[:3] + 1])
    assert not values([REF], [REF, REF])
    assert not values([REF], REF)
    assert not values(REF, [REF])


def test_maps_are_compared_by_keys_and_values() -> None:
    ref = [{"a": 1.0, "b": 2.0}]
    assert values(ref, [{"a": 1.0, "b": 2.0}]).passed
    assert not values(ref, [{"a": 1.0, "b": 2.1}])
    assert not values(ref, [{"a": 1.0, "c": 2.0}])
    assert not values(ref, [[1.0, 2.0]])


def test_an_optional_without_a_value_equals_only_another() -> None:
    assert values(None, None).passed
    assert not values(None, REF)
    assert not values(REF, None)
    assert not compare([{"y": None}], [{}], Tolerance())


def test_imaginary_parts_count() -> None:
    ref = np.array([1 + 2j, 3 - 1j], np.complex64)
    assert values(ref, ref.copy()).passed
    assert not values(ref, ref.conj())


@pytest.mark.parametrize("name", ["int4", "float8_e4m3fn", "float8_e5m2", "bfloat16"])
def test_narrow_types_are_compared(name: str) -> None:
    ref = np.array([1, 2, 3], getattr(ml_dtypes, name))
    assert values(ref, ref.copy()).passed
    assert values(ref, np.array([1, 2, 4], ref.dtype)).outputs[0].mismatched == 1
