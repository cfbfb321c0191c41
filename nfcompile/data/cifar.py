"""CIFAR-10 from its "python version": six pickled batches.

A batch is a dict with `data`, uint8 `[N, 3072]`, each row the red, the green and the blue plane
of 32x32 pixels, and `labels`, a list of N integers of 0 to 9. Layout after
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nfcompile.data.dataset import Dataset, Labels, scaled
from nfcompile.data.files import find_files
from nfcompile.data.inert_pickle import PickledArray, read_pickle
from nfcompile.errors import InputError

__all__ = ["load_cifar_10"]

FEATURES = 3 * 32 * 32
CLASSES = 10
_FILES = (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch")


def load_cifar_10(folder: Path | None) -> Dataset:
    """Color photographs of 32x32 pixels, 50,000 and 10,000.

    Args:
        folder: Holds the batches, or `cifar-10-batches-py` with them.

    Raises:
        InputError: If files are missing or broken.
    """
    paths = find_files("cifar-10", folder, "cifar-10-batches-py", _FILES)
    batches = [_read(path) for path in paths]
    train_x = scaled(np.concatenate([pixels for pixels, _ in batches[:-1]]))
    train_y = np.concatenate([labels for _, labels in batches[:-1]])
    test_x, test_y = batches[-1]
    return Dataset("cifar-10", train_x, train_y, scaled(test_x), test_y)


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], Labels]:
    batch = read_pickle(path)
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= batch.keys():
        raise InputError(f"{path} must be a pickled dict with data and labels; get the file again")
    pixels = _pixels(path, batch[b"data"])
    labels = batch[b"labels"]
    if not isinstance(labels, list) or len(labels) != len(pixels):
        got = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise InputError(f"{path} must hold one label for each of {len(pixels)} images, got {got}")
    for label in labels:
        if type(label) is not int or not 0 <= label < CLASSES:
            got = label if type(label) is int and label.bit_length() < 64 else type(label).__name__
            raise InputError(f"{path} must hold labels of 0 to {CLASSES - 1}, got {got}")
    return pixels, np.array(labels, np.int64)


def _pixels(path: Path, data: object) -> npt.NDArray[np.uint8]:
    rule = f"{path} must hold data of uint8 [N, {FEATURES}]"
    if not isinstance(data, PickledArray):
        raise InputError(f"{rule}, got {type(data).__name__}")
    try:
        pixels = data.numpy()
    except ValueError as error:
        raise InputError(f"{rule}: it is {error}; get the file again") from error
    if pixels.ndim != 2 or pixels.shape[1] != FEATURES or not len(pixels):
        raise InputError(f"{rule}, got {list(pixels.shape)}")
    return pixels
