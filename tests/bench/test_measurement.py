"""All outputs of a contender are compared with those of the reference, in their order."""

import numpy as np
import pytest

from nfcompile.bench.measurement import _compare_all

RIGHT = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 4), np.float32)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_outputs_that_are_equal_are_right(precision: str) -> None:
    assert _compare_all(RIGHT, [y.copy() for y in RIGHT], precision) == (0, "")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_second_output_that_is_wrong_is_found(precision: str) -> None:
    error, reason = _compare_all(RIGHT, [RIGHT[0], -RIGHT[1]], precision)
    assert error == 2
    assert reason.startswith("wrong")
    assert "relative error 2" in reason


def test_outputs_in_another_order_are_wrong() -> None:
    _, reason = _compare_all(RIGHT, RIGHT[::-1], "fp32")
    assert reason == "its output has shape [2, 4], not [2, 3]"


@pytest.mark.parametrize("got", [[], RIGHT[:1], [*RIGHT, RIGHT[0]]], ids=len)
def test_another_number_of_outputs_is_refused(got: list[np.ndarray]) -> None:
    error, reason = _compare_all(RIGHT, got, "bf16")
    assert error == float("inf")
    assert reason == f"it has {len(got)} outputs, not 2"
