"""A data set is float32 rows in [0, 1] with int64 labels, or it is refused."""

import numpy as np
import pytest

from nfcompile.data.dataset import Dataset, scaled
from nfcompile.errors import InputError


def dataset(**changes):
    arrays = {
        "train_x": np.zeros((4, 12), np.float32),
        "train_y": np.array([0, 1, 2, 1]),
        "test_x": np.ones((2, 12), np.float32),
        "test_y": np.array([4, 0]),
    }
    return Dataset("toy", **(arrays | changes))


def test_it_says_its_features_and_its_classes_over_both_parts():
    assert dataset().features == 12
    assert dataset().classes == 5
    assert dataset(test_y=np.array([0, 0])).classes == 3


@pytest.mark.parametrize(
    ("features", "shape"),
    [(1, (1, 1, 1)), (64, (1, 8, 8)), (784, (1, 28, 28)), (12, (3, 2, 2)), (3072, (3, 32, 32))],
)
def test_square_images_are_gray_or_rgb(features, shape):
    x = np.zeros((4, features), np.float32)
    assert dataset(train_x=x, test_x=x[:2]).image_shape == shape


def test_features_that_are_no_square_image_say_so():
    x = np.zeros((4, 13), np.float32)
    with pytest.raises(InputError, match=r"toy must have edge\^2 or 3 edge\^2 features .* got 13"):
        _ = dataset(train_x=x, test_x=x[:2]).image_shape


def test_pixels_become_flat_rows_between_0_and_1_exactly():
    x = scaled(np.array([[[0, 51], [255, 102]]], np.uint8))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [[0, 0.2, 1, 0.4]], rtol=1e-7)
    assert x[0, 2] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": np.zeros((4, 12))}, r"train_x must be float32 .* got float64 \[4, 12\]"),
        ({"train_x": np.zeros(4, np.float32)}, r"train_x must be float32 .* got float32 \[4\]"),
        ({"test_x": np.zeros((0, 12), np.float32)}, "test_x must be .* not empty"),
        ({"test_x": np.zeros((2, 9), np.float32)}, "test_x must have the 12 features .* got 9"),
        ({"train_y": np.zeros(3, int)}, r"train_y must be int64 \[4\], got int64 \[3\]"),
        ({"train_y": np.zeros(4, np.uint8)}, r"train_y must be int64 \[4\], got uint8 \[4\]"),
        ({"test_y": np.array([0, -1])}, "test_y must be at least 0, got -1"),
        ({"test_x": np.full((2, 12), 1.5, np.float32)}, r"must be in \[0, 1\], got 1.5 to 1.5"),
        ({"test_x": np.full((2, 12), np.nan, np.float32)}, r"must be in \[0, 1\], got nan"),
    ],
)
def test_arrays_that_break_the_rules_are_refused(changes, message):
    with pytest.raises(InputError, match=f"^toy {message}|^toy .*{message}"):
        dataset(**changes)
