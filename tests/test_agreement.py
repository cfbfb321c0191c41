"""Answers of two models, and the right ones."""

import ml_dtypes
import numpy as np
import pytest

from nfcompile.agreement import Accuracy, accuracy, same_top1
from nfcompile.compare import Tolerance, compare
from nfcompile.errors import InputError

LOGITS = np.array([[1, 3, 2], [5, 4, 0], [0, 1, 9]], np.float32)


def swapped(row: int) -> np.ndarray:
    other = LOGITS.copy()
    other[row] = other[row][::-1]
    return other


def test_the_same_largest_element_is_the_same_answer_whatever_its_value() -> None:
    assert same_top1(LOGITS, LOGITS * 7) == (3, 3)
    assert same_top1(LOGITS, swapped(1)) == (2, 3)
    narrow = LOGITS.astype(ml_dtypes.bfloat16)
    assert same_top1(narrow, swapped(1).astype(ml_dtypes.bfloat16)) == (2, 3)


def test_any_of_several_largest_elements_is_the_answer() -> None:
    tied = np.array([[2, 2, 0]], np.float32)
    assert same_top1(tied, np.array([[0, 1, 0]], np.float32)) == (1, 1)
    assert same_top1(tied, np.array([[0, 1, 2]], np.float32)) == (0, 1)


def test_integers_are_answers_themselves_and_single_numbers_are_none() -> None:
    assert same_top1(np.array([3, 4]), np.array([3, 5])) == (1, 2)
    assert same_top1(np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)) == (0, 0)
    assert same_top1(np.float32(1), np.float32(2)) == (0, 0)


def test_accuracy_counts_both_models_and_skips_labels_that_count_nowhere() -> None:
    labels = [np.array([1, 0, -100])]
    found = accuracy([{"h": LOGITS[None], "y": LOGITS}], [{"h": LOGITS, "y": swapped(1)}], labels)
    assert found == Accuracy("y", labels=2, right_before=2, right_after=1)


def test_strings_are_answers_themselves_and_go_with_labels_that_are_strings() -> None:
    names, other = np.array(["cat", "dog"], object), np.array(["cat", "cow"], object)
    assert same_top1(names, other) == (1, 2)
    outputs = {"name": names, "scores": LOGITS[:2], "number": np.array([0, 1])}
    found = accuracy([outputs], [{**outputs, "name": other}], [np.array(["cat", "dog"])])
    assert found == Accuracy("name", labels=2, right_before=2, right_after=1)
    numbered = accuracy([outputs], [outputs], [np.array([2, 0])])
    assert numbered == Accuracy("scores", labels=2, right_before=1, right_after=1)


def test_only_arrays_are_answers_and_not_how_they_are_put_together() -> None:
    def answers(value: object) -> int:
        return compare([{"y": value}], [{"y": value}], Tolerance()).outputs[0].answers

    assert answers([LOGITS, LOGITS[:1]]) == 4
    assert answers({7: 0.25, 8: 0.75}) == 0
    assert answers(None) == 0
    assert answers(np.ones((2, 3), np.complex64)) == 0
    listed = [{"y": [LOGITS], "z": LOGITS}]
    found = accuracy(listed, listed, [np.array([1, 0, 2])])
    assert found == Accuracy("z", labels=3, right_before=3, right_after=3)


def test_labels_that_fit_no_output_are_told() -> None:
    report = compare([{"y": LOGITS}], [{"y": LOGITS}], Tolerance(), [np.zeros((3, 7))])
    assert report.accuracy is None
    assert "no output has a class for each label of shape [3, 7]" in report.notes


def test_agreement_below_what_is_asked_for_fails_whatever_the_tolerance() -> None:
    def check(least: float) -> bool:
        tolerance = Tolerance(atol=1e9, min_agreement=least)
        return compare([{"y": LOGITS}], [{"y": swapped(1)}], tolerance).passed

    assert check(0.66)
    assert not check(0.67)
    with pytest.raises(InputError, match=r"min-agreement must be from 0 to 1, got 1\.5"):
        check(1.5)


def test_errors_are_told_as_root_mean_squares_too() -> None:
    right = np.array([3.0, -4.0, 0.0, 0.0])
    (output,) = compare([{"y": right}], [{"y": right + 0.5}], Tolerance()).outputs
    assert output.rms == pytest.approx(0.5)
    assert output.rms_of_rms == pytest.approx(0.2)
    (zeros,) = compare([{"y": right * 0}], [{"y": right}], Tolerance()).outputs
    assert zeros.rms_of_rms == np.inf
