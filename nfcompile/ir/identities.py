"""Removes Identity nodes that say nothing.

    y = Identity(x)     uses of y read x                      y is no output
    y = Identity(x)     x is called y                         y is one, x is made in the same graph

onnx-ir's own pass also makes a body give a value from around it, which ONNX does not allow, and
merges outputs of a model that are equal.
"""

import onnx_ir as ir

__all__ = ["eliminate_identities"]


def eliminate_identities(model: ir.Model) -> int:
    """Removes them from the main graph and its bodies, and counts them."""
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    return sum(_eliminate(node) for node in nodes)


def _eliminate(node: ir.Node) -> bool:
    if node.op_type != "Identity" or node.domain not in ("", "ai.onnx"):
        return False
    x, y, graph = node.inputs[0], node.outputs[0], node.graph
    if x is None or graph is None:
        return False
    is_output = y.is_graph_output()
    if is_output:
        producer = x.producer()
        if producer is None or producer.graph is not graph or x.is_graph_output():
            return False
    x.type = x.type or y.type
    x.shape = x.shape if x.shape is not None else y.shape
    y.replace_all_uses_with(x, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if is_output:
        name, y.name = y.name, None
        x.name = name
    return True
