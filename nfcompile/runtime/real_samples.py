"""Real samples from an `.npz` file, cut into batches that a model takes.

Arrays are named like the model's inputs, and their first axis runs over the samples: it is the
model's own first axis, cut into batches, or, where an array has a dimension more than its input,
each entry is one call's. `labels`, where no input has that name, are the right classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import onnx_ir as ir

from nfcompile.errors import InputError
from nfcompile.runtime.sampling import check_inputs

__all__ = ["RealSamples", "cut_into_batches", "read_arrays"]

Arrays = Mapping[str, np.ndarray]

_LABELS = "labels"
_BATCH = 16


@dataclass(frozen=True)
class RealSamples:
    """Samples in batches.

    Attributes:
        batches: Inputs by name, one mapping per call of the model.
        labels: Right classes per call, if there are any.
        notes: What was left out, in words.
    """

    batches: tuple[Arrays, ...]
    labels: tuple[np.ndarray, ...] | None = None
    notes: tuple[str, ...] = ()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by name.

    Raises:
        InputError: If it is not such a file.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, AttributeError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} must be a .npz file of arrays by input name") from error


def cut_into_batches(model: ir.Model, data: Arrays, batch: int | None = None) -> RealSamples:
    """Cuts samples into batches.

    Args:
        model: Its inputs give names, types and shapes.
        data: Arrays by input name, and maybe `labels`.
        batch: Samples per call where the model leaves that open; by default one in the first
            call and 16 in the others, since kernels differ by the batch.

    Raises:
        InputError: If names, types or shapes do not fit, or there are too few samples.
    """
    inputs = {str(v.name): v for v in model.graph.inputs if not v.is_initializer()}
    arrays = {name: np.asarray(array) for name, array in data.items()}
    labels = None if _LABELS in inputs else arrays.pop(_LABELS, None)
    for name in sorted(inputs.keys() ^ arrays.keys()):
        lack = "lack" if name in inputs else "have"
        raise InputError(f"data {lack} {name}; the model takes {', '.join(inputs)}")
    arrays = {name: _cast(array, inputs[name]) for name, array in arrays.items()}
    whole = {name for name, array in arrays.items() if array.ndim == _rank(inputs[name]) + 1}
    samples = _length({**arrays, **({} if labels is None else {_LABELS: labels})})
    notes: tuple[str, ...] = ()
    if whole:
        bounds = np.arange(samples + 1)
        if labels is not None and labels.ndim > 1:
            whole.add(_LABELS)
    else:
        fixed = _fixed_batch(inputs, batch)
        bounds = _bounds(samples, fixed, batch)
        if left := samples - bounds[-1]:
            notes = (f"{left} of {samples} samples left out: the model takes batches of {fixed}",)
    if len(bounds) < 2:
        raise InputError(f"data must have samples for one batch at least, got {samples}")

    def cut(name: str, array: np.ndarray) -> list[np.ndarray]:
        if not array.ndim:
            return [array] * (len(bounds) - 1)
        pieces = [array[i:j] for i, j in pairwise(bounds)]
        return [piece[0] for piece in pieces] if name in whole else pieces

    columns = {name: cut(name, array) for name, array in arrays.items()}
    batches = tuple(
        {name: column[call] for name, column in columns.items()} for call in range(len(bounds) - 1)
    )
    for item in batches:
        check_inputs(model, item, "data array")
    return RealSamples(batches, None if labels is None else tuple(cut(_LABELS, labels)), notes)


def _rank(value: ir.Value) -> int:
    """Number of dimensions; -2, which no array is beside, if it is not known."""
    return -2 if value.shape is None else len(value.shape)


def _cast(array: np.ndarray, value: ir.Value) -> np.ndarray:
    """The array in the type that the input takes, where that is a wider or narrower one only."""
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        return array.astype(object) if array.dtype.kind == "U" else array
    wanted = value.dtype.numpy()
    return array.astype(wanted) if np.can_cast(array.dtype, wanted, "same_kind") else array


def _length(arrays: Arrays) -> int:
    """The number of samples, which all arrays must share."""
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"data arrays must have as many samples each, got {told}")
    return next(iter(lengths.values()), 1)


def _fixed_batch(inputs: Mapping[str, ir.Value], batch: int | None) -> int | None:
    """The length of the first dimension that the model fixes, if it does."""
    firsts = {
        name: value.shape[0]
        for name, value in inputs.items()
        if value.shape and isinstance(value.shape[0], int)
    }
    sizes = set(firsts.values())
    if len(sizes) > 1:
        told = ", ".join(f"{name} {size}" for name, size in firsts.items())
        raise InputError(
            f"the model fixes several first dimensions ({told}): "
            "give data arrays one dimension more, over the calls"
        )
    fixed = int(sizes.pop()) if sizes else None
    if batch is not None and batch != (fixed or batch):
        raise InputError(f"the model fixes its batch to {fixed}, got batch {batch}")
    return fixed


def _bounds(samples: int, fixed: int | None, batch: int | None) -> np.ndarray:
    """Where each call begins and the last one ends."""
    if batch is not None and batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    if fixed is not None:
        return np.arange(0, samples + 1, max(fixed, 1))
    first = 1 if batch is None else batch
    return np.unique(np.r_[0, np.arange(first, samples, batch or _BATCH), samples])
