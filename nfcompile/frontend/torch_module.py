"""Torch modules as they are in memory."""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.exported_program import fixed_batch_notes, program_source
from nfcompile.frontend.torch_call import Call, arguments, evaluating
from nfcompile.frontend.torch_onnx import first_cause, quiet
from nfcompile.frontend.torch_sparse import has_sparse_tensors, traceable
from nfcompile.ir.source import Source

__all__ = ["from_module"]


def from_module(
    module: torch.nn.Module,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any],
    *,
    name: str | None = None,
    dynamic_batch: bool = True,
) -> Source:
    """Exports a module in evaluation mode; the module itself is not changed.

    Args:
        module: Any module that torch.export takes. Masks, `torch.nn.utils.prune` and
            parametrizations may still be on, and parameters may be sparse tensors.
        example_inputs: A tensor, a tuple of positional arguments, or a dict of keyword ones.
        name: What messages call it; the class's name by default.
        dynamic_batch: Whether the first dimension of every input may vary. Where the module
            depends on it, it stays fixed and the source's notes say so.

    Returns:
        The graph, and the module itself as the reference to verify against.

    Raises:
        InputError: If the module or the inputs are not ones.
        UnsupportedModelError: If torch cannot export the module.
    """
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"a torch module must be a torch.nn.Module, got {module!r}")
    name = name or type(module).__name__
    call = arguments(example_inputs)
    with evaluating(module):
        traced, original = _runnable(module, call, name)
        program, notes = _export(traced, call, name, dynamic_batch)
    if original is not module:
        notes += (f"torch cannot run {name} with its sparse parameters: compared without them",)

    def reference(*args: Any, **kwargs: Any) -> Any:
        with evaluating(original):
            return original(*args, **kwargs)

    return program_source(program, name, call, reference, notes)


def _runnable(
    module: torch.nn.Module, call: Call, name: str
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """What to trace, and what to compare with: the module, unless its sparse tensors prevent it."""
    if not has_sparse_tensors(module):
        _try(module, call, name)
        return module, module
    traced = traceable(module)
    try:
        _try(traced, call, name)
    except UnsupportedModelError:  # such as code that reads the weight of its layers
        traced = traceable(module, by_non_zeros=False)
        _try(traced, call, name)
    try:
        _try(module, call, name)
    except UnsupportedModelError:
        return traced, traced
    return traced, module


def _try(module: torch.nn.Module, call: Call, name: str) -> None:
    """Runs the module once: its own error is clearer than that of a trace."""
    args, kwargs = call.args_kwargs
    try:
        with torch.no_grad():
            module(*args, **kwargs)
    except Exception as error:  # the module's own code raises anything
        shapes = ", ".join(str(list(tensor.shape)) for tensor in call.tensors)
        raise UnsupportedModelError(
            f"{name} fails on its example inputs of shape {shapes}: {first_cause(error)}"
        ) from error


def _export(
    module: torch.nn.Module, call: Call, name: str, dynamic_batch: bool
) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """Exports with free first dimensions if that is possible, and notes where it is not."""
    if not dynamic_batch:
        return _trace(module, call, name, dynamic=False), ()
    wide = _two_rows(call)
    try:
        program = _trace(module, wide, name, dynamic=True)
    except UnsupportedModelError as error:
        program = _trace(module, call, name, dynamic=False)
        reason = str(error.__cause__ and first_cause(error.__cause__))
        return program, (f"batch is fixed as in the example inputs: {reason}",)
    notes = fixed_batch_notes(program)
    if notes and wide is not call:
        program = _trace(module, call, name, dynamic=False)
        notes = fixed_batch_notes(program)
    return program, notes


def _two_rows(call: Call) -> Call:
    """The call with every row doubled if each input has one: torch would fix a 1."""
    tensors = call.tensors
    batched = [tensor for tensor in tensors if tensor.ndim]
    if not batched or any(tensor.shape[0] != 1 for tensor in batched):
        return call
    return call.with_tensors([torch.cat([t, t]) if t.ndim else t for t in tensors])


def _trace(
    module: torch.nn.Module, call: Call, name: str, *, dynamic: bool
) -> torch.export.ExportedProgram:
    args, kwargs = call.args_kwargs
    shapes: Any = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for tensor in call.tensors:
        if tensor.ndim:
            shapes[tensor] = {0: torch.export.Dim.AUTO}
    try:
        with quiet():
            return torch.export.export(
                module, args, kwargs, dynamic_shapes=shapes if dynamic else None
            )
    except Exception as error:  # torch and the module's own code raise anything
        raise UnsupportedModelError(
            f"{name} cannot be exported by torch.export: {first_cause(error)}"
        ) from error
