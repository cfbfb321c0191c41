"""Evaluates expressions of constants: which values are constant, from what, and what they are.

One sweep in topological order tells which values are constant; expressions are walked and evaluated
in that order too. Nothing recurses, so depth and sharing cost nothing.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import constant
from nfcompile.ir.schemas import DOMAIN
from nfcompile.sparse import CsrTensor

__all__ = ["ConstantFolder", "Expression", "expression"]

_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
           "Multinomial", "Dropout"}  # fmt: skip
_QUANTIZATION = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


@dataclass(frozen=True)
class Expression:
    """What a constant value is computed from.

    Attributes:
        value: The value.
        nodes: The nodes that compute it, operands before results.
        sources: The constants that it starts from, each once, in the order they are read.
    """

    value: ir.Value
    nodes: tuple[ir.Node, ...]
    sources: tuple[ir.Value, ...]


def expression(value: ir.Value) -> Expression:
    """The expression behind `value`, down to initializers and `Constant` nodes."""
    nodes: list[ir.Node] = []
    sources: list[ir.Value] = []
    seen: set[ir.Value] = set()
    pending = [(value, False)]
    while pending:
        item, operands_done = pending.pop()
        node = item.producer()
        if operands_done:
            assert node is not None
            nodes.append(node)
        elif item not in seen:
            seen.add(item)
            if node is None or node.op_type == "Constant":
                sources.append(item)
            if node is not None:
                pending.append((item, True))
                operands = [operand for operand in node.inputs if operand is not None]
                pending.extend((operand, False) for operand in reversed(operands))
    return Expression(value, tuple(nodes), tuple(sources))


class ConstantFolder:
    """Evaluates constant expressions of one model, each value once."""

    def __init__(self, model: ir.Model) -> None:
        self._opset_imports = model.graph.opset_imports
        self._tensors: dict[ir.Value, ir.TensorProtocol] = {}
        self._obstacles: dict[ir.Value, str] = {}
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            self._classify(node)

    def _classify(self, node: ir.Node) -> None:
        if any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return  # its bodies may read anything
        found = [self.obstacle(item) for item in node.inputs if item is not None]
        if None in found:
            return
        obstacle = next(filter(None, found), None) or _obstacle(node)
        for output in node.outputs:
            self._obstacles[output] = obstacle

    def obstacle(self, value: ir.Value) -> str | None:
        """Why `value` cannot be evaluated; empty if it can, None if it depends on inputs."""
        if value.producer() is None:
            return "" if constant(value) is not None else None
        return self._obstacles.get(value)

    def tensor(self, value: ir.Value) -> ir.TensorProtocol:
        """What a constant or an evaluated value is."""
        tensor = self._tensors[value] if value in self._tensors else constant(value)
        assert tensor is not None, f"{value.name} was not evaluated"
        return tensor

    def evaluate(self, expression: Expression) -> ir.TensorProtocol:
        """What the expression is; raises whatever ONNX's reference evaluator raises."""
        for node in expression.nodes:
            if node.outputs[0] in self._tensors:
                continue
            operands = [None if item is None else self.tensor(item) for item in node.inputs]
            self._tensors[node.outputs[0]] = _encoded(node, operands) or self._dense(node, operands)
        return self.tensor(expression.value)

    def forget(self, expression: Expression) -> None:
        """Frees what evaluating the expression made."""
        for node in expression.nodes:
            self._tensors.pop(node.outputs[0], None)

    def source_bytes(self, expression: Expression) -> int:
        """Bytes of the constants that an evaluated expression starts from.

        A weight kept by its non-zeros counts as the dense one that it stands for.
        """
        starts = [*expression.sources]
        starts += [node.outputs[0] for node in expression.nodes if node.domain == DOMAIN]
        return sum(self.tensor(value).nbytes for value in starts)

    def _dense(self, node: ir.Node, operands: list[ir.TensorProtocol | None]) -> ir.TensorProtocol:
        proto = ir.to_proto(node)
        graph = onnx.helper.make_graph(
            [proto],
            "expression",
            [
                onnx.helper.make_empty_tensor_value_info(name)
                for name in dict.fromkeys(proto.input)
                if name
            ],
            [onnx.helper.make_empty_tensor_value_info(proto.output[0])],
        )
        opsets = [
            onnx.helper.make_opsetid(domain, version)
            for domain, version in self._opset_imports.items()
        ]
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
        feeds = {
            name: operand.numpy()
            for name, operand in zip(proto.input, operands, strict=True)
            if operand is not None
        }
        result = evaluator.run(None, feeds)[0]
        if not isinstance(result, np.ndarray | np.generic):
            raise TypeError(f"the result of {node.op_type} is not a tensor")
        return ir.Tensor(np.asarray(result))


def _obstacle(node: ir.Node) -> str:
    if (node.domain, node.op_type) == (DOMAIN, "CsrToDense"):
        return ""
    if node.domain != "":
        return f"{node.op_type}, which is not a standard operator"
    if node.op_type in _RANDOM:
        return f"{node.op_type}, which is random"
    if node.op_type in _QUANTIZATION:
        return f"{node.op_type}, which keeps it quantized"
    if len(node.outputs) != 1:
        return f"{node.op_type}, which has several outputs"
    return ""


def _encoded(node: ir.Node, operands: list[ir.TensorProtocol | None]) -> ir.TensorProtocol | None:
    """The result where a weight can stay encoded; None where it has to be dense."""
    if node.domain == DOMAIN:
        out_features, in_features = node.attributes["shape"].as_ints()
        values, indices, indptr = (item.numpy() for item in operands if item is not None)
        csr = CsrTensor.from_components(values, indices, indptr, (out_features, in_features))
        return EncodedTensor(csr, transposed=False, name=None)
    source = operands[0] if operands else None
    if node.op_type == "Transpose" and isinstance(source, EncodedTensor):
        return EncodedTensor(source.encoding, transposed=not source.transposed, name=None)
    if node.op_type == "Identity" and isinstance(source, EncodedTensor):
        return source
    return None
