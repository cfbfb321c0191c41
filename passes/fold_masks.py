"""Folds what stands between a stored weight and the layer that uses it.

    MatMul(X, Mul(W, M))                   ->  MatMul(X, W o M)        masks, prune, parametrize
    MatMul(X, Transpose(W))                ->  MatMul(X, W^T)
    MatMul(X, Transpose(CsrToDense(...)))  ->  MatMul(X, W: CSR)       nn.SparseLinear

Any expression of constants is evaluated, whatever made it; a CSR weight stays CSR all the way, so
that its dense form never exists. Without this the zeros are invisible: they appear only when the
mask is applied, at run time.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import constant
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant
from nfcompile.ir.schemas import DOMAIN
from nfcompile.sparse import CsrTensor

__all__ = ["FoldMasksPass"]

_WEIGHT_INPUTS = {"MatMul": (0, 1), "Gemm": (1, 2), "Conv": (1, 2), "ConvTranspose": (1, 2)}
_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
           "Multinomial", "Dropout"}  # fmt: skip
_TORCH_NAMES = (
    (r"parametrizations\.(\w+)\.original\d*$", r"\1"),
    (r"_orig$", ""),
    (r"\.values$", ".weight"),
)


@dataclass(frozen=True)
class FoldMasksPass(Pass):
    """Evaluates constant expressions that feed the weights and biases of layers."""

    name: ClassVar[str] = "fold-masks"

    def run(self, model: ir.Model) -> int:
        """Folds every weight expression of the model."""
        folder = _Folder(model)
        count = 0
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            if node.domain != "" or node.op_type not in _WEIGHT_INPUTS:
                continue
            for index in _WEIGHT_INPUTS[node.op_type]:
                value = node.inputs[index] if index < len(node.inputs) else None
                if value is None or value.producer() is None:
                    continue
                if blocker := folder.blocker(value):
                    if blocker.op_type in _RANDOM:
                        reason = f"{value.name} comes from {blocker.op_type}, which is random"
                        self.remark(model, "missed", node.name, reason)
                    continue
                folded = folder.fold(value)
                node.replace_input_with(index, folded)
                steps = folder.describe(value)
                self.remark(model, "applied", folded.name, f"folded {steps} into a constant")
                count += 1
        return count


class _Folder:
    """Evaluates constant expressions of one model, each value once."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._tensors: dict[ir.Value, ir.TensorProtocol] = {}
        self._folded: dict[ir.Value, ir.Value] = {}
        self._blockers: dict[ir.Value, ir.Node | None] = {}

    def blocker(self, value: ir.Value) -> ir.Node | None:
        """The node that keeps `value` from being constant; None if it is constant."""
        node = value.producer()
        if node is None:
            return None if constant(value) is not None else _INPUT
        if value not in self._blockers:
            self._blockers[value] = self._find_blocker(node)
        return self._blockers[value]

    def _find_blocker(self, node: ir.Node) -> ir.Node | None:
        ours = (node.domain, node.op_type) == (DOMAIN, "CsrToDense")
        if (node.domain != "" and not ours) or node.op_type in _RANDOM or len(node.outputs) != 1:
            return node
        if any(attribute.type.name.startswith("GRAPH") for attribute in node.attributes.values()):
            return node
        for item in node.inputs:
            if item is not None and (blocker := self.blocker(item)):
                return blocker
        return None

    def fold(self, value: ir.Value) -> ir.Value:
        """The initializer that holds what `value` evaluates to."""
        if value not in self._folded:
            tensor, name = self._evaluate(value), self._name(value)
            taken = self._model.graph.initializers.get(name)
            if taken is not None and len(taken.uses()) == 1:  # by this expression, which dies
                taken.name = f"{name}.unfolded"
            self._folded[value] = add_constant(self._model.graph, name, tensor)
        return self._folded[value]

    def _evaluate(self, value: ir.Value) -> ir.TensorProtocol:
        node = value.producer()
        if node is None:
            tensor = constant(value)
            assert tensor is not None
            return tensor
        if value not in self._tensors:
            operands = [None if item is None else self._evaluate(item) for item in node.inputs]
            self._tensors[value] = _encoded(node, operands) or self._dense(node, operands)
        return self._tensors[value]

    def _dense(self, node: ir.Node, operands: list[ir.TensorProtocol | None]) -> ir.TensorProtocol:
        proto = ir.to_proto(node)
        graph = onnx.helper.make_graph(
            [proto],
            "expression",
            [onnx.helper.make_empty_tensor_value_info(name) for name in set(proto.input) if name],
            [onnx.helper.make_empty_tensor_value_info(proto.output[0])],
        )
        opsets = [
            onnx.helper.make_opsetid(domain, version)
            for domain, version in self._model.graph.opset_imports.items()
        ]
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
        feeds = {
            name: operand.numpy()
            for name, operand in zip(proto.input, operands, strict=True)
            if operand is not None
        }
        return ir.Tensor(np.asarray(evaluator.run(None, feeds)[0]))

    def _leaves(self, value: ir.Value) -> list[ir.Value]:
        node = value.producer()
        if node is None:
            return [value]
        return [leaf for item in node.inputs if item is not None for leaf in self._leaves(item)]

    def _name(self, value: ir.Value) -> str:
        """The user's name of the weight: its largest constant's, less what torch adds."""
        largest = max(self._leaves(value), key=_weightiness, default=value)
        name = largest.name or "weight"
        for pattern, replacement in _TORCH_NAMES:
            name = re.sub(pattern, replacement, name)
        return name

    def describe(self, value: ir.Value) -> str:
        """The expression in words: operators and the constants they start from."""
        node = value.producer()
        if node is None:
            return value.name or "constant"
        operands = [self.describe(item) for item in node.inputs if item is not None]
        return f"{node.op_type}({', '.join(operands)})"


_INPUT = ir.node("Input", [])
"""Stands for a graph input among blockers."""


def _weightiness(value: ir.Value) -> tuple[int, bool]:
    """Size, and whether the values are more than a mask's zeros and ones."""
    tensor = constant(value)
    if tensor is None:
        return 0, False
    sample = tensor.numpy().reshape(-1)[:4096]
    return tensor.size, not np.isin(sample, (0, 1)).all()


def _encoded(node: ir.Node, operands: list[ir.TensorProtocol | None]) -> ir.TensorProtocol | None:
    """The result where a weight can stay encoded; None where it has to be dense."""
    if node.op_type == "CsrToDense":
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
