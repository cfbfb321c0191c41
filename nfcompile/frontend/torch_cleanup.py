"""Makes a graph from torch.onnx plain: names, dimensions, constants, and nothing left over."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from nfcompile.frontend.torch_split import lower_splits

__all__ = ["clean"]

IR_VERSION = 9
"""The newest that onnxruntime 1.17 loads."""

_SCOPES = "pkg.torch.onnx.name_scopes"


def clean(model: ir.Model, name: str, dimensions: Sequence[Mapping[int, Any]] = ()) -> None:
    """Rewrites a model from torch.onnx in place.

    Args:
        model: The model; its constants become plain arrays that share the module's memory.
        name: The graph's new name.
        dimensions: For each input the names of its dimensions; what is no text is none.
    """
    model.ir_version = IR_VERSION
    model.graph.name = name
    _name_nodes(model.graph)
    lower_splits(model.graph)
    _separate_outputs(model.graph)
    _name_dimensions(model.graph, dimensions)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        assert tensor is not None
        value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name)
    for item in (model, model.graph, *model.graph, *_values(model.graph)):
        item.metadata_props.clear()
        item.doc_string = None
    used = {node.domain for node in model.graph.all_nodes()} | {""}
    for domain in set(model.opset_imports) - used:
        del model.opset_imports[domain]


def _name_nodes(graph: ir.Graph) -> None:
    """Calls each node by the path of the submodule that made it and what it does."""
    taken: Counter[str] = Counter()
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
        path = scopes[-2] if len(scopes) > 1 else ""
        plain = f"{path}/{node.op_type}" if path else node.op_type
        taken[plain] += 1
        node.name = plain if taken[plain] == 1 else f"{plain}_{taken[plain]}"


def _separate_outputs(graph: ir.Graph) -> None:
    """Gives an output a value of its own where it is an input, a constant or another output."""
    seen: set[ir.Value] = set()
    for index, value in enumerate(graph.outputs):
        if value.producer() is not None and value not in seen:
            seen.add(value)
            continue
        name = f"{value.name}_output_{index}"
        copy = ir.Value(name=name, type=value.type, shape=value.shape)
        graph.append(ir.Node("", "Identity", [value], outputs=[copy], name=name))
        graph.outputs[index] = copy


def _name_dimensions(graph: ir.Graph, dimensions: Sequence[Mapping[int, Any]]) -> None:
    """Gives symbols their names; other first dimensions become `batch`, `batch_1` ..."""
    names: dict[str, str] = {}
    for value, given in zip(graph.inputs, dimensions, strict=False):
        for index, name in given.items():
            if isinstance(name, str) and (symbol := _symbol(value, index)):
                names.setdefault(symbol, name)
    others: dict[str, str] = {}
    for value in graph.inputs:
        symbol = _symbol(value, 0)
        if symbol and symbol not in names:
            others.setdefault(symbol, f"batch_{len(others)}" if others else "batch")
    names |= others
    for value in _values(graph):
        if value.shape is not None:
            value.shape = ir.Shape([_dimension(dim, names) for dim in value.shape])


def _symbol(value: ir.Value, index: int) -> str | None:
    """The symbol of a dimension of `value`, if it is open."""
    if value.shape is None or index >= len(value.shape):
        return None
    dimension = value.shape[index]
    text = dimension.value if isinstance(dimension, ir.SymbolicDim) else None
    return None if text is None or text.isdecimal() else text


def _dimension(
    dimension: int | ir.SymbolicDim, names: dict[str, str]
) -> int | ir.SymbolicDim | str | None:
    if isinstance(dimension, int) or dimension.value is None:
        return dimension
    if dimension.value.isdecimal():  # torch writes a dimension that it specialized like this
        return int(dimension.value)
    return re.sub(r"[A-Za-z_]\w*", lambda m: names.get(m[0], m[0]), dimension.value)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
