"""Which dimensions of a call's tensors may vary, and what they are called.

For each tensor of a call, in order, a dict from dimensions to `torch.export` Dims, or to names.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nfcompile.errors import InputError
from nfcompile.frontend.torch_call import Call

__all__ = ["Dimensions", "asked_for", "fixed_notes", "free_batch", "free_tokens", "shapes_for"]

Dimensions = Sequence[Mapping[int, Any]]

_AUTO = torch.export.Dim.AUTO


def free_batch(call: Call) -> Dimensions:
    """The first dimension of each tensor."""
    return [{0: _AUTO} if tensor.ndim else {} for tensor in call.tensors]


def free_tokens(call: Call) -> Dimensions:
    """Those, and the second of integer matrices: token ids and their masks come in any number."""
    found = [dict(dims) for dims in free_batch(call)]
    for dims, tensor in zip(found, call.tensors, strict=True):
        if tensor.ndim == 2 and tensor.dtype in (torch.int64, torch.int32):
            dims[1] = _AUTO
    return found


def asked_for(module: torch.nn.Module, call: Call, dynamic_shapes: Any) -> Dimensions:
    """What a user asks for.

    Args:
        module: Gives the names of positional arguments.
        call: How it is called.
        dynamic_shapes: As torch's exporters take them: a dict by argument, or a sequence in their
            order, nested like the arguments; for a tensor None, a dict from dimensions to names
            or Dims, or a sequence of those.

    Raises:
        InputError: If it does not fit the arguments.
    """
    args, kwargs = call.args_kwargs
    if isinstance(dynamic_shapes, Mapping):
        pairs = [*zip(inspect.signature(module.forward).parameters, args, strict=False)]
        given = dict([*pairs, *kwargs.items()])
        for name in dynamic_shapes:
            if name not in given:
                raise InputError(f"dynamic shapes have {name}, the inputs are {', '.join(given)}")
        specs = [(dynamic_shapes.get(name), value) for name, value in given.items()]
    else:
        specs = list(zip_longest(dynamic_shapes, [*args, *kwargs.values()]))
    return [dims for spec, value in specs for dims in _walk(spec, value)]


def shapes_for(call: Call, dimensions: Dimensions) -> Any:
    """Dimensions as torch.export takes them, with names left to be given afterwards."""
    shapes: Any = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for tensor, dims in zip(call.tensors, dimensions, strict=True):
        if dims:
            shapes[tensor] = {
                dim: _AUTO if isinstance(kind, str) else kind for dim, kind in dims.items()
            }
    return shapes


def fixed_notes(
    program: torch.export.ExportedProgram, dimensions: Dimensions | None = None
) -> tuple[str, ...]:
    """One note for each dimension that should vary and that the program fixes.

    Args:
        program: The program.
        dimensions: What should vary in each of its tensors; the first dimensions if None.
    """
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    values = [(name, nodes[name].meta.get("val")) for name in names if name in nodes]
    tensors = [(name, value) for name, value in values if isinstance(value, Tensor)]
    notes = []
    if dimensions is None:
        dimensions = [{0: _AUTO}] * len(tensors)
    for (name, value), dims in zip(tensors, dimensions, strict=True):
        for dim in dims:
            if dim < value.ndim and str(value.shape[dim]).isdecimal():
                which = "the first dimension" if dim == 0 else f"dimension {dim}"
                notes.append(f"{which} of input {name} is fixed at {value.shape[dim]}")
    return tuple(notes)


def _walk(spec: Any, value: Any) -> Iterator[Mapping[int, Any]]:
    """What `spec` says of each tensor in `value`."""
    if isinstance(value, Tensor):
        yield _dimensions(spec, value)
    elif spec is None:
        yield from ({} for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))
    elif isinstance(value, Mapping) and isinstance(spec, Mapping):
        for key, item in value.items():
            yield from _walk(spec.get(key), item)
    elif isinstance(value, list | tuple) and isinstance(spec, list | tuple):
        if len(spec) != len(value):
            raise InputError(f"dynamic shapes must be {len(value)} for a list, got {len(spec)}")
        for part, item in zip(spec, value, strict=True):
            yield from _walk(part, item)
    else:
        raise InputError(
            "dynamic shapes must be nested like the inputs, "
            f"got {type(spec).__name__} for {type(value).__name__}"
        )


def _dimensions(spec: Any, tensor: Tensor) -> Mapping[int, Any]:
    if isinstance(spec, list | tuple):
        spec = dict(enumerate(spec))
    if not isinstance(spec, Mapping | None):
        raise InputError(
            f"dynamic shapes of a tensor must be a dict by dimension, got {type(spec).__name__}"
        )
    found = {dim: kind for dim, kind in (spec or {}).items() if kind is not None}
    for dim in found:
        if not isinstance(dim, int) or not 0 <= dim < tensor.ndim:
            raise InputError(f"dynamic shapes name dimension {dim!r} of a tensor of {tensor.ndim}")
    return found
