"""How often two models give the same answer, and how often it is the right one.

The answer is the largest element along the last axis of an output; of an output of integers or
strings, such as a class by its number or name, each element is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Accuracy", "accuracy", "same_top1"]

Arrays = Mapping[str, Any]

_TEXT = "OUS"

_IGNORED = -100
"""A label that counts nowhere, as for padding in torch's losses."""


@dataclass(frozen=True)
class Accuracy:
    """Right answers of both models on labelled samples.

    Attributes:
        output: The output that has an answer for each label.
        labels: Labels that count.
        right_before: Right answers of the original.
        right_after: Right answers of the compiled model.
    """

    output: str
    labels: int
    right_before: int
    right_after: int


def same_top1(reference: np.ndarray, got: np.ndarray) -> tuple[int, int]:
    """Answers that are the same, and answers in all; none where an output has no answer.

    Where the original has several largest elements, any of them is its answer.

    Args:
        reference: An output of the original.
        got: The same output, of the same shape, of the compiled model.
    """
    if reference.dtype.kind in "iub" + _TEXT:
        return int(np.count_nonzero(reference == got)), reference.size
    if not _has_classes(reference):
        return 0, 0
    mine, other = (np.argmax(item, axis=-1)[..., None] for item in (reference, got))
    tied = np.take_along_axis(reference, mine, -1) == np.take_along_axis(reference, other, -1)
    return int(np.count_nonzero((mine == other) | tied)), mine.size


def accuracy(
    references: Sequence[Arrays], results: Sequence[Arrays], labels: Sequence[np.ndarray]
) -> Accuracy | None:
    """Accuracy of both models in the first output that has an answer for each label.

    Args:
        references: Per call, outputs of the original by name.
        results: Per call, outputs of the compiled model.
        labels: Per call, the right classes; -100 counts nowhere.
    """
    for name, first in references[0].items():
        if not isinstance(first, np.ndarray) or not _fit(_answers(first), labels[0]):
            continue
        known = [item != _IGNORED for item in labels]
        before, after = (
            sum(
                int(np.count_nonzero((_answers(item[name]) == right) & counts))
                for item, right, counts in zip(outputs, labels, known, strict=True)
            )
            for outputs in (references, results)
        )
        return Accuracy(name, sum(int(item.sum()) for item in known), before, after)
    return None


def _has_classes(output: np.ndarray) -> bool:
    return output.dtype.kind in "fV" and output.ndim > 0 and output.shape[-1] > 1


def _fit(answers: np.ndarray, labels: np.ndarray) -> bool:
    """Whether there is an answer for each label, and both are numbers or both texts."""
    texts = [item.dtype.kind in _TEXT for item in (answers, labels)]
    return answers.shape == labels.shape and texts[0] == texts[1]


def _answers(output: np.ndarray) -> np.ndarray:
    """One class each: along the last axis of floats, or the elements themselves."""
    return np.argmax(output, axis=-1) if _has_classes(output) else output
