"""Values of any ONNX type as the arrays that they are made of, two of them side by side."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["MISSING", "Pair", "paired"]

MISSING = object()
"""In place of a value that is not there, which an optional without a value is not."""


class Pair(NamedTuple):
    """Two arrays to compare; `answers` unless they only tell how others are put together."""

    right: np.ndarray
    got: np.ndarray | None
    answers: bool = False


def paired(right: Any, got: Any) -> list[Pair]:
    """The arrays inside two values of any ONNX type; None where one has something else there."""
    if isinstance(right, Mapping):
        keys = np.asarray(list(right))
        same = isinstance(got, Mapping)
        pair = Pair(keys, np.asarray(list(got)) if same else None)
        return [pair, *paired(list(right.values()), list(got.values()) if same else None)]
    if isinstance(right, list):
        count = np.asarray(len(got)) if isinstance(got, list) else None
        others = got if isinstance(got, list) and len(got) == len(right) else [None] * len(right)
        items = [pair for both in zip(right, others, strict=True) for pair in paired(*both)]
        return [Pair(np.asarray(len(right)), count), *items]
    if right is None:
        return [Pair(np.zeros(()), np.zeros(()) if got is None else None)]
    if got is None or isinstance(got, Mapping | list):
        return [Pair(np.asarray(right), None)]
    right, got = np.asarray(right), np.asarray(got)
    if right.dtype.kind == got.dtype.kind == "c" and right.dtype == got.dtype:
        return [Pair(right.real, got.real), Pair(right.imag, got.imag)]
    return [Pair(right, got, answers=True)]
