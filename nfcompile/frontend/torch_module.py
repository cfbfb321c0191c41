"""Torch modules as they are in memory."""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.exported_program import program_source
from nfcompile.frontend.torch_call import Call, arguments, evaluating
from nfcompile.frontend.torch_dimensions import (
    Dimensions,
    asked_for,
    fixed_notes,
    free_batch,
    free_tokens,
    shapes_for,
)
from nfcompile.frontend.torch_onnx import first_cause, quiet
from nfcompile.frontend.torch_sparse import has_sparse_tensors, traceable
from nfcompile.ir.source import Source

__all__ = ["from_module"]


def from_module(
    module: torch.nn.Module,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any],
    *,
    name: str | None = None,
    dynamic_shapes: Any = None,
) -> Source:
    """Exports a module in evaluation mode; the module itself is not changed.

    Args:
        module: Any module that torch.export takes. Masks, `torch.nn.utils.prune` and
            parametrizations may still be on, and parameters may be sparse tensors.
        example_inputs: A tensor, a tuple of positional arguments, or a dict of keyword ones.
        name: What messages call it; the class's name by default.
        dynamic_shapes: The dimensions that may vary, with their names, as torch's exporters take
            them: `{"input_ids": {0: "batch", 1: "tokens"}}`. By default the first of every input,
            and the second of integer matrices. Where the module depends on one, it stays fixed
            and the source's notes say so.

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
        with _plain_attention():
            program, dimensions, notes = _export(traced, call, name, dynamic_shapes)
    if original is not module:
        notes += (f"torch cannot run {name} with its sparse parameters: compared without them",)

    def reference(*args: Any, **kwargs: Any) -> Any:
        with evaluating(original):
            return original(*args, **kwargs)

    with _plain_attention():
        return program_source(program, name, call, reference, notes, dimensions=dimensions)


def _plain_attention() -> AbstractContextManager[None]:
    """Traces attention by plain products, as what it is translated into lies in memory.

    Other kernels of torch give a result that lies otherwise, and views of it that were traced, as
    in T5 and Swin, would not fit.
    """
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


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
    module: torch.nn.Module, call: Call, name: str, dynamic_shapes: Any
) -> tuple[torch.export.ExportedProgram, Dimensions, tuple[str, ...]]:
    """Exports with the dimensions free that should be, and notes which of them are not."""
    if dynamic_shapes is None:
        return _export_as_free_as_possible(module, call, name)
    wanted = asked_for(module, call, dynamic_shapes)
    if all(0 in dims for dims in wanted):
        call = _two_rows(call)
    program = _trace(module, call, name, wanted)
    return program, wanted, fixed_notes(program, wanted)


def _export_as_free_as_possible(
    module: torch.nn.Module, call: Call, name: str
) -> tuple[torch.export.ExportedProgram, Dimensions, tuple[str, ...]]:
    """Exports with free batch and tokens, with free batch only, or as the example is."""
    wide = _two_rows(call)
    batch, tokens = free_batch(wide), free_tokens(wide)
    for free in [tokens, batch] if tokens != batch else [batch]:
        try:
            program = _trace(module, wide, name, free)
        except UnsupportedModelError as error:
            reason = str(error.__cause__ and first_cause(error.__cause__))
            continue
        if wide is not call and fixed_notes(program, batch):
            program = _trace(module, call, name)
        return program, free, fixed_notes(program, free)
    notes = (f"batch is fixed as in the example inputs: {reason}",)
    return _trace(module, call, name), (), notes


def _two_rows(call: Call) -> Call:
    """The call with every row doubled if each input has one: torch would fix a 1."""
    tensors = call.tensors
    batched = [tensor for tensor in tensors if tensor.ndim]
    if not batched or any(tensor.shape[0] != 1 for tensor in batched):
        return call
    return call.with_tensors([torch.cat([t, t]) if t.ndim else t for t in tensors])


def _trace(
    module: torch.nn.Module, call: Call, name: str, free: Dimensions | None = None
) -> torch.export.ExportedProgram:
    args, kwargs = call.args_kwargs
    shapes = None if free is None else shapes_for(call, free)
    try:
        with quiet():
            return torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
    except Exception as error:  # torch and the module's own code raise anything
        # Models of transformers return their cache unless they are told not to.
        hint = "; set its config.use_cache = False" if "DynamicCache" in str(error) else ""
        raise UnsupportedModelError(
            f"{name} cannot be exported by torch.export: {first_cause(error)}{hint}"
        ) from error
