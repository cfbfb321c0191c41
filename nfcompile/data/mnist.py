"""MNIST and the sets with its format, from their idx files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcompile.data.dataset import Dataset, Labels, Values, scaled
from nfcompile.data.files import find_files
from nfcompile.data.idx import read_idx
from nfcompile.errors import InputError

__all__ = ["load_fashion_mnist", "load_mnist"]

EDGE = 28
CLASSES = 10
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load_mnist(folder: Path | None) -> Dataset:
    """Handwritten digits of 28x28 pixels, 60,000 and 10,000, from `folder` or `MNIST/raw` in it.

    Raises:
        InputError: If files are missing or broken.
    """
    return _load("mnist", folder, "MNIST/raw")


def load_fashion_mnist(folder: Path | None) -> Dataset:
    """Clothes in MNIST's format, from `folder` or `FashionMNIST/raw` in it.

    Raises:
        InputError: If files are missing or broken.
    """
    return _load("fashion-mnist", folder, "FashionMNIST/raw")


def _load(name: str, folder: Path | None, inner: str) -> Dataset:
    paths = find_files(name, folder, inner, _FILES, ("", ".gz"))
    return Dataset(name, *_pair(paths[0], paths[1]), *_pair(paths[2], paths[3]))


def _pair(images_path: Path, labels_path: Path) -> tuple[Values, Labels]:
    images = read_idx(images_path, 3)
    if images.shape[1:] != (EDGE, EDGE):
        got = "x".join(map(str, images.shape[1:]))
        raise InputError(f"{images_path} must hold images of {EDGE}x{EDGE} pixels, got {got}")
    labels = read_idx(labels_path, 1)
    if len(labels) != len(images):
        raise InputError(
            f"{labels_path} must hold one label for each of the {len(images)} images of "
            f"{images_path.name}, got {len(labels)}"
        )
    return scaled(images), _checked(labels_path, labels)


def _checked(path: Path, labels: npt.NDArray[np.uint8]) -> Labels:
    if labels.max() >= CLASSES:
        raise InputError(f"{path} must hold labels of 0 to {CLASSES - 1}, got {labels.max()}")
    return labels.astype(np.int64)
