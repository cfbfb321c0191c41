"""Compares what two models compute, on the same inputs.

An output passes where every element satisfies |got - ref| <= atol + rtol * |ref|; NaN equals NaN
and infinities equal themselves. Integers, booleans and strings must be equal. Sequences and maps
are compared item by item; an optional without a value equals only another.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfcompile.agreement import Accuracy, accuracy, same_top1
from nfcompile.errors import InputError
from nfcompile.pairs import MISSING, Pair, paired

__all__ = [
    "OutputError",
    "Tolerance",
    "VerifyReport",
    "compare",
    "moved_by_optimizer",
]

Arrays = Mapping[str, Any]
Run = Callable[[Arrays], Arrays]

_RTOL = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-4}
_RTOL_HALF = 2e-2
_ATOL_OF_LARGEST = 1e-5


@dataclass(frozen=True)
class Tolerance:
    """How far two outputs may differ.

    Attributes:
        rtol: Relative to the element; by default 1e-4, and 2e-2 for 16-bit floats.
        atol: Absolute; by default 1e-5 of the output's largest element, so that it follows the
            output's scale: summing in another order moves small elements by that much. Elements
            far beyond the rest, as masks leave in logits, do not set the scale. For 16-bit floats
            2e-2 of it.
        half: Whether the model computes in 16-bit floats although its outputs are wider.
        min_agreement: Least share of answers (see `nfcompile.agreement`) that must be the same, in
            each output that has answers.

    Raises:
        InputError: If one is negative or not a number, or the share is above 1.
    """

    rtol: float | None = None
    atol: float | None = None
    half: bool = False
    min_agreement: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_agreement <= 1:
            raise InputError(f"min-agreement must be from 0 to 1, got {self.min_agreement}")
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if value is not None and not value >= 0:
                raise InputError(f"{name} must be at least 0, got {value}")

    def bounds(self, reference: np.ndarray) -> np.ndarray:
        """The largest difference allowed at each element of `reference` (float64)."""
        half = self.half or reference.dtype not in _RTOL
        rtol = (_RTOL_HALF if half else _RTOL[reference.dtype]) if self.rtol is None else self.rtol
        wide = reference.astype(np.float64)
        magnitude = np.abs(np.where(np.isfinite(wide), wide, 0))
        atol = self.atol
        if atol is None:
            atol = (_RTOL_HALF if half else _ATOL_OF_LARGEST) * _scale(magnitude)
        return np.asarray(atol + rtol * magnitude)


def _scale(magnitude: np.ndarray) -> float:
    """The largest magnitude that is within a thousand times the lowest tenth of the non-zeros."""
    present = magnitude[magnitude > 0]
    if not present.size:
        return 0.0
    return float(present[present <= 1e3 * np.quantile(present, 0.1)].max())


@dataclass(frozen=True)
class OutputError:
    """How one output differs, over all samples.

    Attributes:
        name: The output.
        max_abs: Largest |got - ref|.
        max_rel: Largest |got - ref| / |ref| among elements that are not tiny.
        max_of_largest: Largest |got - ref| over the largest |ref| of its sample.
        rms: Root of the mean square of got - ref.
        rms_of_rms: The same over the root mean square of ref.
        mismatched: Elements out of bounds.
        size: Elements compared.
        constant: Whether the reference was the same everywhere, so that agreement means little.
        not_finite: Elements of the reference that are NaN or infinite.
        agreed: Answers that are the same, see `nfcompile.agreement`.
        answers: Answers in all.
        min_agreement: Least share of them that must be the same.
    """

    name: str
    max_abs: float
    max_rel: float
    max_of_largest: float
    rms: float
    rms_of_rms: float
    mismatched: int
    size: int
    constant: bool
    not_finite: int
    agreed: int
    answers: int
    min_agreement: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether enough answers are the same."""
        return self.agreed >= self.min_agreement * self.answers

    @property
    def passed(self) -> bool:
        """Whether every element is within bounds, and enough answers are the same."""
        return self.mismatched == 0 and self.agrees


@dataclass(frozen=True)
class VerifyReport:
    """The comparison of two models.

    Attributes:
        outputs: One entry per output.
        samples: Number of inputs compared on: calls of the models.
        notes: What limits the comparison, in words.
        accuracy: Right answers before and after, if there were labels.
    """

    outputs: tuple[OutputError, ...]
    samples: int
    notes: tuple[str, ...] = ()
    accuracy: Accuracy | None = None

    @property
    def passed(self) -> bool:
        """Whether all outputs passed."""
        return all(output.passed for output in self.outputs)

    def __bool__(self) -> bool:
        return self.passed


def compare(
    references: Sequence[Arrays],
    results: Sequence[Arrays],
    tolerance: Tolerance,
    labels: Sequence[np.ndarray] | None = None,
) -> VerifyReport:
    """Compares outputs sample by sample.

    Args:
        references: Per sample, the outputs by name that are right.
        results: Per sample, the outputs to check.
        tolerance: How far they may differ.
        labels: Per sample, the right classes, if they are known.

    Raises:
        InputError: If there is nothing to compare.
    """
    if not references:
        raise InputError("samples must be at least 1, got 0")
    names = list(references[0])
    pairs = [
        (
            name,
            [
                pair
                for ref, got in zip(references, results, strict=True)
                for pair in paired(ref[name], got.get(name, MISSING))
            ],
        )
        for name in names
    ]
    outputs = tuple(_output_error(name, pair, tolerance) for name, pair in pairs)
    notes = tuple(
        f"output {item.name} is NaN or infinite in {item.not_finite} of {item.size} elements of "
        "the original"
        for item in outputs
        if item.not_finite
    ) + tuple(
        f"output {item.name} is constant on these inputs: its agreement means little"
        for item in outputs
        if item.constant and not item.not_finite
    )
    right = None
    if labels is not None and all(np.isfinite(item.max_abs) for item in outputs):
        right = accuracy(references, results, labels)
        if right is None:
            notes += (f"no output has a class for each label of shape {list(labels[0].shape)}",)
    return VerifyReport(outputs, len(references), notes, right)


def moved_by_optimizer(report: VerifyReport) -> str:
    """What to say where only the original as it is optimized agrees.

    Args:
        report: The comparison with the original as it is written.
    """
    worst = max(report.outputs, key=lambda item: (item.mismatched, not item.agrees))
    return (
        "agrees with the original as ONNX Runtime optimizes it; those optimizations alone move "
        f"output {worst.name} by up to {worst.max_abs:.3g}"
    )


def _says_little(reference: np.ndarray) -> bool:
    """Whether all elements are the same, or none is finite."""
    if reference.size < 2 or bool((reference == reference.flat[0]).all()):
        return True
    return reference.dtype.kind == "f" and not bool(np.isfinite(reference).any())


def _output_error(name: str, pairs: Sequence[Pair], tolerance: Tolerance) -> OutputError:
    max_abs = max_rel = max_of_largest = squares = error_squares = 0.0
    mismatched = size = not_finite = agreed = answers = 0
    constant = True
    for pair in pairs:
        reference, got = pair.right, pair.got
        size += reference.size
        constant &= _says_little(reference)
        if got is None or got.shape != reference.shape or got.dtype != reference.dtype:
            mismatched += max(reference.size, 1)
            max_abs = max_rel = max_of_largest = error_squares = float("inf")
            continue
        if pair.answers:
            same, all_ = same_top1(reference, got)
            agreed, answers = agreed + same, answers + all_
        if reference.dtype.kind not in "fV":
            mismatched += int(np.count_nonzero(reference != got))
            continue
        bounds = tolerance.bounds(reference)
        not_finite += reference.size - int(np.count_nonzero(np.isfinite(reference)))
        ref, out = reference.astype(np.float64), np.asarray(got).astype(np.float64)
        error = _error(ref, out)
        mismatched += int(np.count_nonzero(error > bounds))
        max_abs = max(max_abs, float(error.max(initial=0.0)))
        magnitude = np.abs(ref[np.isfinite(ref)])
        squares += float(magnitude @ magnitude)
        error_squares += float(error.reshape(-1) @ error.reshape(-1))
        largest = float(magnitude.max(initial=0.0))
        if largest > 0:
            max_of_largest = max(max_of_largest, float(error.max(initial=0.0)) / largest)
        floor = 1e-3 * largest
        large = np.isfinite(ref) & (np.abs(ref) > floor)
        max_rel = max(max_rel, float((error[large] / np.abs(ref[large])).max(initial=0.0)))
    return OutputError(
        name=name,
        max_abs=max_abs,
        max_rel=max_rel,
        max_of_largest=max_of_largest,
        rms=math.sqrt(error_squares / max(size, 1)),
        rms_of_rms=_root_ratio(error_squares, squares),
        mismatched=mismatched,
        size=size,
        constant=constant and size > 1,
        not_finite=not_finite,
        agreed=agreed,
        answers=answers,
        min_agreement=tolerance.min_agreement,
    )


def _error(ref: np.ndarray, out: np.ndarray) -> np.ndarray:
    """|out - ref|; 0 for the same NaN or infinity, infinite where only one is such."""
    same = (ref == out) | (np.isnan(ref) & np.isnan(out))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(out - ref))
    return np.where(np.isnan(error), np.inf, error)


def _root_ratio(above: float, below: float) -> float:
    if not below:
        return float("inf") if above else 0.0
    return math.sqrt(above / below)
