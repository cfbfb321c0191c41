"""Random inputs that fit a model's signature."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from nfcompile.errors import InputError, UnsupportedModelError

__all__ = ["check_inputs", "sample_inputs"]

Inputs = dict[str, np.ndarray]


def sample_inputs(model: ir.Model, size: int, rng: np.random.Generator) -> Inputs:
    """One random array per graph input.

    Floats are normal, integers 0 or 1 (valid as token ids, masks and indices alike), booleans fair.

    Args:
        model: Its inputs give names, types and shapes.
        size: Length of every dimension that the model leaves open.
        rng: Where the numbers come from.

    Raises:
        UnsupportedModelError: If an input is not a tensor of numbers of known rank.
    """
    return {
        value.name or "": _sample(value, size, rng)
        for value in model.graph.inputs
        if not value.is_initializer()
    }


def _sample(value: ir.Value, size: int, rng: np.random.Generator) -> np.ndarray:
    if value.shape is None or value.dtype is None or not isinstance(value.type, ir.TensorType):
        raise UnsupportedModelError(
            f"input {value.name} must be a tensor of known rank to make samples of it: "
            "give example inputs"
        )
    shape = [dim if isinstance(dim, int) else size for dim in value.shape]
    if value.dtype == ir.DataType.STRING:
        raise UnsupportedModelError(f"input {value.name} holds strings: give example inputs")
    dtype = value.dtype.numpy()
    if value.dtype.is_floating_point():
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def check_inputs(model: ir.Model, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks that `inputs` are what `model` takes.

    Raises:
        InputError: If a name, type or shape does not fit.
    """
    wanted = {value.name: value for value in model.graph.inputs if not value.is_initializer()}
    for name in wanted:
        if name not in inputs:
            raise InputError(
                f"example inputs lack {name}; the model takes {', '.join(map(str, wanted))}"
            )
    for name, array in inputs.items():
        if name not in wanted:
            known = ", ".join(map(str, wanted))
            raise InputError(f"example inputs have {name}, the model takes {known}")
        _check_input(wanted[name], array)


def _check_input(value: ir.Value, array: np.ndarray) -> None:
    if value.dtype is not None and array.dtype != value.dtype.numpy():
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
