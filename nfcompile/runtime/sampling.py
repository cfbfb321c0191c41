"""Random inputs that fit a model's signature and what its inputs mean."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.ir.input_meaning import Meaning, input_meanings
from nfcompile.runtime.lengths import Layout, layouts, length_of

__all__ = ["check_inputs", "sample_inputs"]

Inputs = dict[str, np.ndarray]


def sample_inputs(
    model: ir.Model, size: int, rng: np.random.Generator, layout: Layout | None = None
) -> Inputs:
    """One random array per graph input.

    Floats are normal; integers are what the graph's use of them allows (token ids, positions,
    indices, sizes), masks begin with ones and end with zeros. Where nothing can be derived
    integers are 0 or 1 and booleans fair; a lone boolean is true for even sizes, so that several
    sizes take both branches.

    Args:
        model: Its inputs give names, types and shapes.
        size: Length of the first dimension where the model leaves it open.
        rng: Where the numbers come from.
        layout: Lengths of the open dimensions; by default each name has one of its own.

    Raises:
        UnsupportedModelError: If an input is not a tensor of numbers of known rank.
    """
    lengths = (layout or next(layouts(model)))(size)
    meanings = input_meanings(model)
    inputs = {}
    for value in model.graph.inputs:
        if value.is_initializer():
            continue
        if value.shape is None or value.dtype is None or not isinstance(value.type, ir.TensorType):
            raise UnsupportedModelError(
                f"input {value.name} must be a tensor of known rank to make samples of it: "
                "give example inputs"
            )
        if value.dtype == ir.DataType.STRING:
            raise UnsupportedModelError(f"input {value.name} holds strings: give example inputs")
        name = str(value.name)
        shape = tuple(length_of(dim, axis, lengths) for axis, dim in enumerate(value.shape))
        meaning = meanings.get(name)
        if meaning is None:
            array = _unknown(value.dtype, shape, rng, size)
        else:
            array = _meant(meaning, value.dtype, shape, rng, lengths)
        inputs[name] = np.asarray(array).astype(value.dtype.numpy())
    return inputs


def _unknown(
    kind: ir.DataType, shape: tuple[int, ...], rng: np.random.Generator, size: int
) -> np.ndarray:
    if kind.is_floating_point():
        return np.asarray(rng.standard_normal(shape))
    if kind == ir.DataType.BOOL and shape in ((), (1,)):
        return np.full(shape, size % 2 == 0)
    return np.asarray(rng.integers(0, 2, shape))


def _meant(
    meaning: Meaning,
    kind: ir.DataType,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    lengths: Mapping[str, int],
) -> np.ndarray:
    low = meaning.low
    limits = [lengths.get(item, low) if isinstance(item, str) else item for item in meaning.limits]
    limit = max(min(limits, default=low), low + 1)
    if meaning.kind == "mask":
        return _mask(shape, rng)
    if meaning.kind == "position":
        positions = np.arange(shape[-1])
        return np.broadcast_to(low + positions % (limit - low) if limits else positions, shape)
    if meaning.kind == "shape":  # the elements in one row, whatever their number
        return np.where(np.arange(int(np.prod(shape))) == 0, -1, 1).reshape(shape)
    if meaning.kind == "axes":
        return np.arange(int(np.prod(shape))).reshape(shape)
    if meaning.kind == "full":
        range_ = np.iinfo(kind.numpy())
        return np.asarray(rng.integers(range_.min, range_.max + 1, shape))
    return np.asarray(rng.integers(low, limit, shape))


def _mask(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Ones, then zeros along the last axis; the first row is all ones, none less than half."""
    *rows, width = shape
    kept = np.asarray(rng.integers((width + 1) // 2, width + 1, rows))
    kept.reshape(-1)[:1] = width
    return np.arange(width) < kept[..., None]


def check_inputs(model: ir.Model, inputs: Mapping[str, Any], what: str = "example input") -> None:
    """Checks that `inputs` are what `model` takes.

    Args:
        model: Its inputs give names, types and shapes.
        inputs: Values by name.
        what: What messages call one.

    Raises:
        InputError: If a name, type or shape does not fit.
    """
    wanted = {str(value.name): value for value in model.graph.inputs}
    for name, value in wanted.items():
        if name not in inputs and not value.is_initializer():
            raise InputError(f"{what}s lack {name}; the model takes {', '.join(wanted)}")
    for name, array in inputs.items():
        if name not in wanted:
            known = ", ".join(wanted)
            raise InputError(f"{what}s have {name}, the model takes {known}")
        _check_input(wanted[name], array, what)


def _same_dtype(dtype: np.dtype[Any], wanted: ir.DataType) -> bool:
    if wanted == ir.DataType.STRING:
        return dtype.kind in "OUS"
    return bool(dtype == wanted.numpy())


def _check_input(value: ir.Value, array: Any, what: str) -> None:
    if not isinstance(value.type, ir.TensorType):
        return  # a sequence, a map or an optional: the runtime knows what fits
    if not isinstance(array, np.ndarray):
        raise InputError(f"{what} {value.name} must be an array, got {array!r}")
    if value.dtype is not None and not _same_dtype(array.dtype, value.dtype):
        raise InputError(f"{what} {value.name} must be {value.dtype.numpy()}, got {array.dtype}")
    if value.shape is None:
        return
    fits = len(value.shape) == array.ndim and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(value.shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{what} {value.name} must have shape {value.shape}, got {list(array.shape)}"
        )
