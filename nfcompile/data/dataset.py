"""Images and their labels, split in two: what every loader returns."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nfcompile.errors import InputError

__all__ = ["Dataset", "Labels", "Values", "scaled"]

Values = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set, checked when made.

    Attributes:
        name: The name that `load` takes.
        train_x: Inputs to train on, float32 `[N, features]` in [0, 1]. An image is flat: its
            channels one after the other, each row by row.
        train_y: Their classes, int64 `[N]`, from 0.
        test_x: Inputs to judge on, float32 `[M, features]` in [0, 1].
        test_y: Their classes, int64 `[M]`.

    Raises:
        InputError: If an array has another shape, dtype or range.
    """

    name: str
    train_x: Values
    train_y: Labels
    test_x: Values
    test_y: Labels

    def __post_init__(self) -> None:
        self._check("train", self.train_x, self.train_y)
        self._check("test", self.test_x, self.test_y)
        if self.train_x.shape[1] != self.test_x.shape[1]:
            raise InputError(
                f"{self.name} test_x must have the {self.train_x.shape[1]} features of train_x, "
                f"got {self.test_x.shape[1]}"
            )

    @property
    def features(self) -> int:
        """Numbers per input."""
        return int(self.train_x.shape[1])

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest label."""
        return 1 + int(max(self.train_y.max(), self.test_y.max()))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of square images, gray or RGB.

        Which of the two is never in doubt: no square number is three times another.

        Raises:
            InputError: If the features form no such image.
        """
        for channels in (1, 3):
            edge = math.isqrt(self.features // channels)
            if channels * edge * edge == self.features:
                return channels, edge, edge
        raise InputError(
            f"{self.name} must have edge^2 or 3 edge^2 features to be square images, "
            f"got {self.features}"
        )

    def _check(self, part: str, x: Values, y: Labels) -> None:
        if x.dtype != np.float32 or x.ndim != 2 or not x.size:
            raise InputError(
                f"{self.name} {part}_x must be float32 [N, features] and not empty, "
                f"got {x.dtype} {list(x.shape)}"
            )
        if y.dtype != np.int64 or y.shape != x.shape[:1]:
            raise InputError(
                f"{self.name} {part}_y must be int64 [{len(x)}], got {y.dtype} {list(y.shape)}"
            )
        if not (x.min() >= 0 and x.max() <= 1):  # so that NaN is refused too
            raise InputError(
                f"{self.name} {part}_x must be in [0, 1], got {x.min():g} to {x.max():g}"
            )
        if y.min() < 0:
            raise InputError(f"{self.name} {part}_y must be at least 0, got {y.min()}")


def scaled(pixels: npt.NDArray[np.uint8]) -> Values:
    """Pixels of 0 to 255 as flat float32 rows in [0, 1]."""
    return np.divide(pixels.reshape(len(pixels), -1), 255, dtype=np.float32)
