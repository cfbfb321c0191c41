"""Small steps that every rewrite takes: new constants, new nodes in the place of old ones."""

import numpy as np
import onnx_ir as ir

__all__ = ["add_constant", "insert_before", "main_graph", "replace_node", "single_use"]


def main_graph(value: ir.Value) -> ir.Graph:
    """The graph that owns the constant `value`.

    Raises:
        AssertionError: If it belongs to none.
    """
    graph = value.graph
    assert isinstance(graph, ir.Graph), f"{value.name} belongs to no graph"
    return graph


def add_constant(graph: ir.Graph, name: str, tensor: ir.TensorProtocol | np.ndarray) -> ir.Value:
    """Registers an initializer under `name`, or a name like it if that is taken.

    Args:
        graph: Graph that will own it.
        name: Wanted name.
        tensor: Its values.
    """
    unique, number = name, 1
    while unique in graph.initializers or any(item.name == unique for item in graph.inputs):
        unique, number = f"{name}_{number}", number + 1
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
    """The one node that reads `value` once, if nothing else sees it."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    return uses[0].node
