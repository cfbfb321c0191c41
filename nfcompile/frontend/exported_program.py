"""Programs of torch.export, in memory or in a `.pt2` file."""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export.graph_signature import ConstantArgument, InputKind

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.torch_call import Call, arguments, to_numpy
from nfcompile.frontend.torch_dimensions import Dimensions, fixed_notes
from nfcompile.frontend.torch_onnx import first_cause, quiet, to_onnx
from nfcompile.frontend.torch_sparse import is_sparse
from nfcompile.ir.source import Arrays, Source

__all__ = ["from_exported_program", "from_pt2", "program_source"]


def from_exported_program(
    program: torch.export.ExportedProgram,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    name: str = "exported program",
) -> Source:
    """A program of torch.export, with the program itself as the reference.

    Args:
        program: The program; its dynamic dimensions stay dynamic.
        example_inputs: As it would be called; by default those it was exported with.
        name: What messages call it.

    Raises:
        InputError: If the example inputs are not ones.
        UnsupportedModelError: If it cannot be written as ONNX.
    """
    for key, tensor in program.state_dict.items():
        if is_sparse(tensor):
            raise UnsupportedModelError(
                f"{name} has the sparse parameter {key}, which torch.export cannot pass on: "
                "give the module itself"
            )
    if example_inputs is None and program.example_inputs is not None:
        args, kwargs = program.example_inputs
        call, given = Call.of(args, kwargs), True
    elif example_inputs is None:
        call, given = _described(program), False
    else:
        call, given = arguments(example_inputs), True
    module = program.module(check_guards=False)
    notes = fixed_notes(program)
    return program_source(program, name, call, module, notes, has_example=given)


def from_pt2(
    path: Path, example_inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None
) -> Source:
    """The program that `torch.export.save` wrote to `path`.

    Raises:
        InputError: If there is no such file.
        UnsupportedModelError: If it is not such a file, or cannot be written as ONNX.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with quiet():
            program = torch.export.load(path)
    except Exception as error:  # zip, pickle and schema errors of many kinds
        raise UnsupportedModelError(
            f"{path} is not a program of torch.export.save: {first_cause(error)}"
        ) from error
    return from_exported_program(program, example_inputs, name=path.name)


def program_source(
    program: torch.export.ExportedProgram,
    name: str,
    call: Call,
    reference: Callable[..., Any],
    notes: tuple[str, ...] = (),
    *,
    dimensions: Dimensions = (),
    has_example: bool = True,
) -> Source:
    """A source from a program, the way to call it, and what it must agree with.

    Args:
        program: What is compiled.
        name: What messages call it.
        call: How `reference` is called; its tensors are the example inputs.
        reference: The original, called like the program.
        notes: What the user should know of the export.
        dimensions: Names of the dimensions of its tensors.
        has_example: Whether the tensors of `call` have values.

    Raises:
        UnsupportedModelError: If the program cannot be written as ONNX.
    """
    model = to_onnx(program, name, dimensions)
    inputs = [str(value.name) for value in model.graph.inputs]
    outputs = [str(value.name) for value in model.graph.outputs]
    tensors = call.tensors
    if len(tensors) != len(inputs):
        raise UnsupportedModelError(
            f"{name} has {len(inputs)} graph inputs for {len(tensors)} tensors in its arguments"
        )

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        try:
            results = call.run(reference, [arrays[input_name] for input_name in inputs])
        except Exception as error:  # the module's own code raises anything
            shapes = ", ".join(f"{key} {list(arrays[key].shape)}" for key in inputs)
            raise UnsupportedModelError(
                f"{name} fails on inputs {shapes}: {first_cause(error)}"
            ) from error
        if len(results) != len(outputs):
            raise UnsupportedModelError(
                f"{name} returns {len(results)} tensors, its graph has {len(outputs)} outputs"
            )
        return dict(zip(outputs, results, strict=True))

    pairs = zip(inputs, tensors, strict=True)
    example = {key: to_numpy(value) for key, value in pairs} if has_example else None
    return Source(name, model, example, run, notes=notes)


def _described(program: torch.export.ExportedProgram) -> Call:
    """The call that a program's signature describes, with tensors of no value."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    leaves = [
        spec.arg.value
        if isinstance(spec.arg, ConstantArgument)
        else nodes[spec.arg.name].meta["val"]
        for spec in program.graph_signature.input_specs
        if spec.kind == InputKind.USER_INPUT
    ]
    return Call(tuple(leaves), program.call_spec.in_spec)
