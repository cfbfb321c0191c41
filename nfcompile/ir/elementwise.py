"""What happens to each element alone between two layers: activations, however they are spelled.

y = f(x) elementwise, so that f(P x) = P f(x) for whatever selects or repeats elements
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from nfcompile.ir.linear import constant

__all__ = ["Region", "elementwise_region"]

_ELEMENTWISE = {
    "Abs", "Add", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal",
    "Relu", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tanh",
    "ThresholdedRelu",
}  # fmt: skip
_MOST_NODES = 64


@dataclass(frozen=True)
class Region:
    """Nodes that compute one value elementwise from another, and whose inner values stay inside.

    Attributes:
        start: The value that it reads, beside scalar constants.
        nodes: Its nodes, in order; none if nothing elementwise follows.
        end: The value that it gives; `start` if there are no nodes.
    """

    start: ir.Value
    nodes: tuple[ir.Node, ...]
    end: ir.Value

    def apply(self, values: np.ndarray, opset_imports: dict[str, int]) -> np.ndarray:
        """What the region gives for float32 `values` of any shape."""
        if not self.nodes:
            return values
        scalars = {
            str(item.name): np.asarray(tensor.numpy()).reshape(())
            for node in self.nodes
            for item in node.inputs
            if item is not None and (tensor := constant(item)) is not None
        }
        graph = onnx.helper.make_graph(
            [ir.to_proto(node) for node in self.nodes],
            "region",
            [
                onnx.helper.make_empty_tensor_value_info(str(name))
                for name in (self.start.name, *scalars)
            ],
            [onnx.helper.make_empty_tensor_value_info(str(self.end.name))],
        )
        opsets = [onnx.helper.make_opsetid("", opset_imports.get("", 18))]
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
        with np.errstate(all="ignore"):
            return np.asarray(evaluator.run(None, {str(self.start.name): values, **scalars})[0])


def elementwise_region(start: ir.Value) -> Region:
    """The longest elementwise region behind `start`."""
    nodes: list[ir.Node] = []
    values = {start}
    closed, end = 0, start
    while len(nodes) < _MOST_NODES:
        node = _next(start, values, nodes)
        if node is None:
            break
        nodes.append(node)
        values.add(node.outputs[0])
        if [value for value in values if _is_open(value, nodes)] == [node.outputs[0]]:
            closed, end = len(nodes), node.outputs[0]
    return Region(start, tuple(nodes[:closed]), end)


def _next(start: ir.Value, values: set[ir.Value], nodes: list[ir.Node]) -> ir.Node | None:
    """A node that computes from values of the region and scalar constants only."""
    producer = start.producer()
    for value in values:
        for use in value.uses():
            node = use.node
            if node in nodes or node.domain != "" or node.op_type not in _ELEMENTWISE:
                continue
            if producer is None or node.graph is not producer.graph or len(node.outputs) != 1:
                continue
            if all(item is None or item in values or _is_scalar(item) for item in node.inputs):
                return node
    return None


def _is_scalar(value: ir.Value) -> bool:
    tensor = constant(value)
    return tensor is not None and tensor.size == 1 and len(tensor.shape) <= 1


def _is_open(value: ir.Value, nodes: list[ir.Node]) -> bool:
    outside = any(use.node not in nodes for use in value.uses())
    return outside or value.is_graph_output() or not value.uses()
