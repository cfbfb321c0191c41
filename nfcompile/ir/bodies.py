"""The graphs inside nodes: bodies of If, Loop and Scan, and what they read from around them."""

from collections.abc import Iterator

import onnx_ir as ir

__all__ = ["bodies", "captured"]


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs in attributes of `node`, in the order of the attributes."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def captured(node: ir.Node) -> list[ir.Value]:
    """Values from outside that the bodies of `node` read, in the order of their use."""
    graphs = [graph for body in bodies(node) for graph in (body, *body.subgraphs())]
    own: set[ir.Value] = set()
    used: list[ir.Value | None] = []
    for graph in graphs:
        own.update(graph.inputs, graph.initializers.values())
        for item in graph:
            own.update(item.outputs)
            used.extend(item.inputs)
        used.extend(graph.outputs)
    return [item for item in dict.fromkeys(used) if item is not None and item not in own]
