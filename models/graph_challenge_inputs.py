"""Inputs for the Graph Challenge networks, in the two regimes that their cost depends on.

Rows with enough ones stay alive and end at the ceiling everywhere; rows with few die in some layer
and cost nothing after it, if an engine skips them.
"""

import math

import numpy as np
from scipy.ndimage import zoom

from nfcompile.data import load
from nfcompile.errors import InputError

__all__ = ["digit_rows", "random_rows"]

_INK = 0.1


def digit_rows(neurons: int, batch: int) -> np.ndarray:
    """Handwritten digits, resized and thresholded, as the benchmark does with MNIST.

    Args:
        neurons: Width of the network, the square of an edge of at least 8.
        batch: Number of rows.

    Returns:
        Zeros and ones, float32 `[batch, neurons]`; on all rows the networks stay alive.

    Raises:
        InputError: If the width is no square.
        EngineMissingError: If scikit-learn is not installed.
    """
    edge = math.isqrt(neurons)
    if edge * edge != neurons or edge < 8:
        raise InputError(f"neurons must be the square of 8 or more for images, got {neurons}")
    images = load("digits").train_x
    inked = images[np.argsort(-(images > _INK).mean(1), kind="stable")[: max(batch, 512)]]
    chosen = inked[np.random.default_rng(0).permutation(len(inked))[:batch]].reshape(-1, 8, 8)
    large = zoom(chosen, (1, edge / 8, edge / 8), order=1, grid_mode=True, mode="nearest")
    return (large.reshape(batch, neurons) > _INK).astype(np.float32)


def random_rows(neurons: int, batch: int, density: float = 0.1) -> np.ndarray:
    """Ones at random, float32 `[batch, neurons]`; at a tenth all rows die in a few layers."""
    rng = np.random.default_rng(batch)
    return (rng.random((batch, neurons)) < density).astype(np.float32)
