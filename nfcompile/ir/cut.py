"""Cuts a model at operators that no runtime here knows, so that the rest can be run and compared.

Each result of such a node becomes an input of the model, each of its operands an output. Compiling
leaves these nodes as they are, so the model before and after is cut in the same places, and a
difference anywhere still shows at the next output.
"""

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from nfcompile.ir.schemas import DOMAIN

__all__ = ["cut_foreign", "foreign_nodes"]

_KNOWN_DOMAINS = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "ai.onnx.training",
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
    DOMAIN,
}
"""Domains that ONNX Runtime has operators for, and ours."""


def foreign_nodes(model: ir.Model) -> list[ir.Node]:
    """Nodes of the main graph whose operators are defined by no one here, nor by the model."""
    local = {function[:2] for function in model.functions}
    return [
        node
        for node in model.graph
        if node.domain not in _KNOWN_DOMAINS and (node.domain, node.op_type) not in local
    ]


def cut_foreign(model: ir.Model) -> ir.Model:
    """A copy of `model` without its foreign nodes, with inputs and outputs that stand for them.

    A result whose type and shape the model does not tell is taken to be like the first input.

    Args:
        model: Any model; not changed, its weights are shared with the copy.
    """
    copy = model.clone()
    graph = copy.graph
    for position, node in enumerate(foreign_nodes(copy)):
        ShapeInferencePass()(copy)  # up to this node; past it only once its results are known
        for index, item in enumerate(node.inputs):
            if item is not None and not item.is_initializer():
                graph.outputs.append(_tap(graph, item, f"cut.{position}.operand{index}"))
        for index, item in enumerate(node.outputs):
            graph.inputs.append(_plug(node, item, f"cut.{position}.result{index}"))
        node.replace_input_with(0, None)
        graph.remove(node, safe=True)
    return copy


def _tap(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    """A new output that shows `value`."""
    tap = ir.node("Identity", [value])
    tap.outputs[0].name = name
    tap.outputs[0].type, tap.outputs[0].shape = value.type, value.shape
    graph.append(tap)
    return tap.outputs[0]


def _plug(node: ir.Node, value: ir.Value, name: str) -> ir.Value:
    """A new input that takes the place of `value`."""
    like = next((item for item in node.inputs if item is not None), value)
    known = value if value.shape is not None and value.type is not None else like
    plug = ir.Value(name=name, type=known.type, shape=known.shape)
    value.replace_all_uses_with(plug, replace_graph_outputs=True)
    return plug
