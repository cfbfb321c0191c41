"""Inlines the functions of a model where they mean the same in the graph that calls them.

onnx-ir's inliner does the work. What it gets wrong or refuses is seen to before and after: versions
of operators, outputs that are inputs, parameters that are graphs, names that hide others.
"""

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from nfcompile.ir.bodies import bodies
from nfcompile.ir.rewrite import unique_name

__all__ = ["inline_functions"]


def inline_functions(model: ir.Model) -> tuple[bool, dict[str, str]]:
    """Inlines every call that can be; whether there were any, and why other functions stay."""
    if not model.functions:
        return False, {}
    kept = _kept(model)
    if any(_recursive(model, function) for function in model.functions.values()):
        return False, {name: reason for (_, name, _), reason in kept.items()}
    for function in model.functions.values():
        if function.identifier() not in kept:
            function.opset_imports.update(
                {
                    domain: model.opset_imports[domain]
                    for domain in function.opset_imports
                    if domain in model.opset_imports
                }
            )
            _name_outputs(function)
    _fill_calls(model)
    inliner = common.InlinePass(criteria=lambda item: item.identifier() not in kept)
    result = inliner(model)
    if result.modified:
        _separate(model.graph, model.graph, set())
    return result.modified, {name: reason for (_, name, _), reason in kept.items()}


def _kept(model: ir.Model) -> dict[ir.OperatorIdentifier, str]:
    """Functions that stay, with those that they call, and the reasons."""
    kept: dict[ir.OperatorIdentifier, str] = {}
    for identifier, function in model.functions.items():
        if reason := _refusal(model, function):
            kept[identifier] = reason
    pending = list(kept)
    while pending:
        caller = pending.pop()
        for node in model.functions[caller].all_nodes():
            called = node.op_identifier()
            if called in model.functions and called not in kept:
                kept[called] = f"function {caller[1]} calls it, which stays"
                pending.append(called)
    return kept


def _refusal(model: ir.Model, function: ir.Function) -> str:
    for domain, version in function.opset_imports.items():
        wanted = model.opset_imports.get(domain, version)
        for node in function.all_nodes() if wanted != version else ():
            if node.domain == domain and not _same_operator(node, version, wanted):
                where = domain or "ai.onnx"
                return f"its {node.op_type} is of version {version} of {where}, not {wanted}"
    if any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for node in _calls(model, function)
        for attribute in node.attributes.values()
    ):
        return "it is called with a graph"
    return "it calls itself" if _recursive(model, function) else ""


def _same_operator(node: ir.Node, first: int, second: int) -> bool:
    """Whether an operator means the same in two versions of its domain."""
    try:
        schemas = [
            onnx.defs.get_schema(node.op_type, version, node.domain) for version in (first, second)
        ]
    except onnx.defs.SchemaError:
        return False
    return bool(schemas[0].since_version == schemas[1].since_version)


def _calls(model: ir.Model, function: ir.Function) -> list[ir.Node]:
    graphs = [model.graph, *(item.graph for item in model.functions.values())]
    return [
        node
        for graph in graphs
        for node in graph.all_nodes()
        if node.op_identifier() == function.identifier()
    ]


def _recursive(model: ir.Model, function: ir.Function) -> bool:
    pending, seen = [function], set()
    while pending:
        for node in pending.pop().all_nodes():
            called = node.op_identifier()
            if called == function.identifier():
                return True
            if called in model.functions and called not in seen:
                seen.add(called)
                pending.append(model.functions[called])
    return False


def _name_outputs(function: ir.Function) -> None:
    """Gives each output a node of its own: a caller has its own names for them."""
    seen: set[ir.Value] = set()
    for index, value in enumerate(function.outputs):
        if value.producer() is None or value in seen:
            node = ir.node("Identity", [value])
            node.outputs[0].type, node.outputs[0].shape = value.type, value.shape
            function.append(node)
            function.outputs[index] = node.outputs[0]
        seen.add(value)


def _fill_calls(model: ir.Model) -> None:
    """Lets each call take all outputs of its function, as the inliner pairs them by position."""
    for function in model.functions.values():
        for node in _calls(model, function):
            node.resize_outputs(len(function.outputs))
            for value in node.outputs:
                value.name = value.name or unique_name(model.graph, f"{node.op_type}.unused")


def _separate(root: ir.Graph, graph: ir.Graph, around: set[str | None]) -> None:
    """Renames what hides, inside a body, a value of the graphs around it."""
    own = [*graph.inputs, *graph.initializers.values()]
    own += [value for node in graph for value in node.outputs]
    for value in dict.fromkeys(own):
        if value.name and value.name in around:
            value.name = unique_name(root, value.name)
    names = around | {value.name for value in own}
    for node in graph:
        for body in bodies(node):
            _separate(root, body, names)
