"""Models named by the code that makes them: `package.module:callable`, `path.py:callable`.

This runs the user's code, and only because the user named it.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from nfcompile.errors import InputError, NfcompileError, UnsupportedModelError
from nfcompile.frontend.input_shape import InputShape
from nfcompile.frontend.torch_module import from_module
from nfcompile.frontend.weights import load_weights
from nfcompile.ir.source import Source

__all__ = ["from_python_reference"]


def from_python_reference(
    reference: str,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    weights: Path | None = None,
    input_shapes: Sequence[tuple[int, ...] | str] | None = None,
    dynamic_shapes: Any = None,
) -> Source:
    """Calls the code that makes a module and exports what it returns.

    Args:
        reference: `package.module:callable` or `path.py:callable`. The callable takes no arguments
            and returns a module, `(module, example_inputs)`, or those and `dynamic_shapes`.
        example_inputs: Used instead of those that the callable returns.
        weights: State to load into the module, as for `load_weights`.
        input_shapes: Shapes of inputs to draw examples of instead: tuples, with the batch, or
            texts that `InputShape` reads.
        dynamic_shapes: Used instead of what the callable returns: see `from_module`.

    Raises:
        InputError: If the reference, the weights or the inputs are not what they must be.
        UnsupportedModelError: If the code fails or torch cannot export the module.
    """
    with _search_path(reference):
        made = _call(_resolve(reference), reference)
    is_tuple = isinstance(made, tuple) and len(made) in (2, 3)
    module, returned, free = (*made, None)[:3] if is_tuple else (made, None, None)
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"{reference} must return a torch module or "
            f"(module, example_inputs[, dynamic_shapes]), got {type(module).__name__}"
        )
    if weights is not None:
        load_weights(module, weights, reference)
    if example_inputs is None and input_shapes:
        shapes = [InputShape.parse(given) for given in input_shapes]
        example_inputs = _drawn(shapes)
        free = [{0: "batch", **shape.names} for shape in shapes] if _any_names(shapes) else None
    if example_inputs is None:
        example_inputs = returned
    if example_inputs is None:
        raise InputError(
            f"{reference} returns no example inputs: return (module, example_inputs) "
            "or give --input-shape (input_shapes)"
        )
    return from_module(
        module,
        example_inputs,
        name=reference.rpartition(":")[2],
        dynamic_shapes=free if dynamic_shapes is None else dynamic_shapes,
    )


def _any_names(shapes: Sequence[InputShape]) -> bool:
    return any(shape.names for shape in shapes)


def _drawn(shapes: Sequence[InputShape]) -> tuple[Tensor, ...]:
    """Normal floats; integers and booleans are 0 or 1, which token ids and masks can be."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for shape in shapes:
        dtype = getattr(torch, shape.dtype)
        if dtype.is_floating_point:
            drawn.append(torch.randn(shape.sizes, generator=generator).to(dtype))
        else:
            drawn.append(torch.randint(2, shape.sizes, generator=generator).to(dtype))
    return tuple(drawn)


@contextmanager
def _search_path(reference: str) -> Iterator[None]:
    """Lets the code import its neighbours: the file's folder, or the working directory."""
    source = reference.rpartition(":")[0]
    folder = Path(source).resolve().parent if source.endswith(".py") else Path.cwd()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _resolve(reference: str) -> Any:
    source, colon, attribute = reference.rpartition(":")
    if not colon or not source or not attribute:
        raise InputError(
            f"a model's code must be package.module:callable or path.py:callable, got {reference!r}"
        )
    found: Any = _import(source)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InputError(f"{source} has no attribute {attribute}")
        found = getattr(found, part)
    return found


def _import(source: str) -> ModuleType:
    is_file = source.endswith(".py") or os.sep in source
    if is_file and not Path(source).is_file():
        raise InputError(f"no such file: {source}")
    try:
        return _import_file(Path(source)) if is_file else importlib.import_module(source)
    except NfcompileError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"cannot import {source}: {_one_line(error)}") from error


def _import_file(path: Path) -> ModuleType:
    name = f"_nfcompile_reference_{path.stem}"  # a file may be called like a package
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} must be a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(factory: Any, reference: str) -> Any:
    if isinstance(factory, torch.nn.Module):
        return factory
    if not callable(factory):
        raise InputError(f"{reference} must be callable, got {type(factory).__name__}")
    try:
        return factory()
    except NfcompileError:
        raise
    except (Exception, SystemExit) as error:
        raise UnsupportedModelError(f"{reference} raised {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
