"""Small steps that every rewrite takes: new constants, new nodes in the place of old ones."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

__all__ = [
    "add_constant",
    "insert_before",
    "main_graph",
    "replace_node",
    "single_use",
    "unique_name",
]


def main_graph(value: ir.Value) -> ir.Graph:
    """The graph that owns the constant `value`.

    Raises:
        AssertionError: If it belongs to none.
    """
    graph = value.graph
    assert isinstance(graph, ir.Graph), f"{value.name} belongs to no graph"
    return graph


def add_constant(
    graph: ir.Graph,
    name: str,
    tensor: ir.TensorProtocol | np.ndarray,
    *,
    scope: ir.Graph | None = None,
) -> ir.Value:
    """Registers an initializer under `name`, or a name like it if that is taken.

    Args:
        graph: Graph that will own it.
        name: Wanted name.
        tensor: Its values.
        scope: Graph in which the name must be new; `graph` if None.
    """
    unique = unique_name(scope or graph, name)
    if isinstance(tensor, np.ndarray):
        tensor = ir.Tensor(tensor, name=unique)
    tensor.name = unique
    value = ir.Value(
        name=unique,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def unique_name(graph: ir.Graph, name: str) -> str:
    """`name`, or one like it, that stands for nothing else in `graph` and its subgraphs.

    A subgraph's own names hide those of the graphs around it, so that a constant whose name is
    taken anywhere inside would be read by some nodes and not by others. Names that a body reads
    from around it are taken too: a graph does not know what it is a body of.
    """
    if name not in _names(graph):
        return name
    taken, number = set(_names(graph)), 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _names(graph: ir.Graph) -> Iterator[str | None]:
    # Not cached, since nothing tells that a value was renamed. It takes about 2 ms per 1000 nodes.
    graphs = [graph]
    while graphs:
        graph = graphs.pop()
        yield from graph.initializers
        for value in (*graph.inputs, *graph.outputs):
            yield value.name
        for node in graph:
            for operand in node.inputs:
                if operand is not None:
                    yield operand.name
            for value in node.outputs:
                yield value.name
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    graphs.append(attribute.as_graph())
                elif attribute.type == ir.AttributeType.GRAPHS:
                    graphs.extend(attribute.as_graphs())


def insert_before(node: ir.Node, *new: ir.Node) -> None:
    """Inserts `new` into the graph of `node`, in order, ahead of it."""
    assert node.graph is not None
    node.graph.insert_before(node, new)


def replace_node(node: ir.Node, new: ir.Node) -> None:
    """Puts `new` where `node` is; its one output takes over name, type, shape and all uses."""
    assert node.graph is not None
    old_output, new_output = node.outputs[0], new.outputs[0]
    new_output.type, new_output.shape = old_output.type, old_output.shape
    name = old_output.name
    old_output.name = None
    new_output.name = name
    node.graph.insert_before(node, new)
    old_output.replace_all_uses_with(new_output, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)


def single_use(value: ir.Value) -> ir.Node | None:
    """The one node of the same graph that reads `value` once, if nothing else sees it."""
    uses, producer = list(value.uses()), value.producer()
    if len(uses) != 1 or value.is_graph_output() or producer is None:
        return None
    return uses[0].node if uses[0].node.graph is producer.graph else None
