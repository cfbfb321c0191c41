"""The embedded digits are all there, split once and for all, and readable."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from nfcompile.data.digits import load_digits
from nfcompile.errors import EngineMissingError


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_every_image_of_scikit_learn_is_in_one_part_with_its_label(digits):
    assert (len(digits.train_x), len(digits.test_x)) == (1437, 360)
    images, labels = sklearn_digits(return_X_y=True)
    wanted = sorted((row.tobytes(), y) for row, y in zip(images, labels, strict=True))
    x = np.concatenate([digits.train_x, digits.test_x]).astype(np.float64) * 16
    y = np.concatenate([digits.train_y, digits.test_y])
    assert sorted((row.tobytes(), label) for row, label in zip(x, y, strict=True)) == wanted


def test_a_fifth_of_each_class_is_for_testing(digits):
    train, test = np.bincount(digits.train_y), np.bincount(digits.test_y)
    np.testing.assert_allclose(test / (train + test), 0.2, atol=0.01)
    assert digits.image_shape == (1, 8, 8)
    assert digits.classes == 10


def test_each_class_looks_like_itself(digits):
    means = np.stack([digits.train_x[digits.train_y == label].mean(0) for label in range(10)])
    distances = ((digits.test_x[:, None] - means) ** 2).sum(2)
    assert (distances.argmin(1) == digits.test_y).mean() > 0.85


def test_the_split_is_the_same_each_time(digits):
    again = load_digits()
    np.testing.assert_array_equal(again.train_x, digits.train_x)
    np.testing.assert_array_equal(again.test_y, digits.test_y)


def test_a_missing_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(EngineMissingError, match="pip install scikit-learn"):
        load_digits()
