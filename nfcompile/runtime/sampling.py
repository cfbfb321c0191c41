"""Random inputs that fit a model's signature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from nfcompile.errors import InputError, UnsupportedModelError

__all__ = ["check_inputs", "sample_inputs"]

Inputs = dict[str, np.ndarray]

_OTHER_LENGTHS = (5, 7, 11, 13)


def sample_inputs(model: ir.Model, size: int, rng: np.random.Generator) -> Inputs:
    """One random array per graph input.

    Floats are normal, integers 0 or 1 (valid as token ids, masks and indices alike), booleans
    fair; a lone boolean is true for even sizes, so that several sizes take both branches.

    Args:
        model: Its inputs give names, types and shapes.
        size: Length of the first dimension where the model leaves it open. Other open dimensions
            get lengths of their own, one per name, so that a mix-up of axes shows.
        rng: Where the numbers come from.

    Raises:
        UnsupportedModelError: If an input is not a tensor of numbers of known rank.
    """
    values = [value for value in model.graph.inputs if not value.is_initializer()]
    lengths = {str(value.shape[0]): size for value in values if value.shape}
    inputs = {}
    for value in values:
        if value.shape is None or value.dtype is None or not isinstance(value.type, ir.TensorType):
            raise UnsupportedModelError(
                f"input {value.name} must be a tensor of known rank to make samples of it: "
                "give example inputs"
            )
        shape = []
        for dim in value.shape:
            if isinstance(dim, int):
                shape.append(dim)
            else:
                other = _OTHER_LENGTHS[len(lengths) % len(_OTHER_LENGTHS)]
                shape.append(lengths.setdefault(str(dim), other))
        inputs[value.name or ""] = _sample(value.name, value.dtype, tuple(shape), rng, size)
    return inputs


def _sample(
    name: str | None, kind: ir.DataType, shape: tuple[int, ...], rng: np.random.Generator, size: int
) -> np.ndarray:
    if kind == ir.DataType.STRING:
        raise UnsupportedModelError(f"input {name} holds strings: give example inputs")
    dtype = kind.numpy()
    if kind.is_floating_point():
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    if kind == ir.DataType.BOOL and shape in ((), (1,)):
        return np.full(shape, size % 2 == 0)
    return np.asarray(rng.integers(0, 2, shape)).astype(dtype)


def check_inputs(model: ir.Model, inputs: Mapping[str, Any]) -> None:
    """Checks that `inputs` are what `model` takes.

    Raises:
        InputError: If a name, type or shape does not fit.
    """
    wanted = {str(value.name): value for value in model.graph.inputs}
    for name, value in wanted.items():
        if name not in inputs and not value.is_initializer():
            raise InputError(
                f"example inputs lack {name}; the model takes {', '.join(map(str, wanted))}"
            )
    for name, array in inputs.items():
        if name not in wanted:
            known = ", ".join(map(str, wanted))
            raise InputError(f"example inputs have {name}, the model takes {known}")
        _check_input(wanted[name], array)


def _same_dtype(dtype: np.dtype[Any], wanted: ir.DataType) -> bool:
    if wanted == ir.DataType.STRING:
        return dtype.kind in "OUS"
    return bool(dtype == wanted.numpy())


def _check_input(value: ir.Value, array: Any) -> None:
    if not isinstance(value.type, ir.TensorType):
        return  # a sequence, a map or an optional: the runtime knows what fits
    if not isinstance(array, np.ndarray):
        raise InputError(f"example input {value.name} must be an array, got {array!r}")
    if value.dtype is not None and not _same_dtype(array.dtype, value.dtype):
        raise InputError(
            f"example input {value.name} must be {value.dtype.numpy()}, got {array.dtype}"
        )
    if value.shape is None:
        return
    fits = len(value.shape) == array.ndim and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(value.shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"example input {value.name} must have shape {value.shape}, got {list(array.shape)}"
        )
