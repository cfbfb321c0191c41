"""The data set that needs no files: scikit-learn's copy of the UCI optical digits."""

import numpy as np

from nfcompile.data.dataset import Dataset
from nfcompile.errors import EngineMissingError

__all__ = ["load_digits"]


def load_digits() -> Dataset:
    """The 1,797 handwritten digits of 8x8 pixels, one fifth of each class for testing.

    Raises:
        EngineMissingError: If scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise EngineMissingError("digits needs scikit-learn: pip install scikit-learn") from error
    images, labels = datasets.load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)  # the pixels are counts of 0 to 16
    labels = labels.astype(np.int64)
    parts = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return Dataset("digits", train_x, train_y, test_x, test_y)
