"""Folds what stands between a stored weight and the layer that uses it.

    MatMul(X, Mul(W, M))                   ->  MatMul(X, W o M)        masks, prune, parametrize
    MatMul(X, Transpose(W))                ->  MatMul(X, W^T)
    MatMul(X, Transpose(CsrToDense(...)))  ->  MatMul(X, W: CSR)       nn.SparseLinear

Any expression of constants is evaluated, whatever made it; a CSR weight stays CSR all the way, so
that its dense form never exists. Without this the zeros are invisible: they appear only when the
mask is applied, at run time. An expression that keeps a weight narrow (quantized, half precision)
is left alone: a constant never takes more bytes than those it comes from.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.ir.constant_folding import ConstantFolder, Expression, expression
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant, main_graph, unique_name

__all__ = ["FoldMasksPass"]

_WEIGHT_INPUTS = {"MatMul": (0, 1), "Gemm": (1, 2), "Conv": (1, 2), "ConvTranspose": (1, 2)}
_TORCH_NAMES = (
    (r"parametrizations\.(\w+)\.original\d*$", r"\1"),
    (r"_orig$", ""),
    (r"\.values$", ".weight"),
)
_MOST_NAMED = 4


@dataclass(frozen=True)
class FoldMasksPass(Pass):
    """Evaluates constant expressions that feed the weights and biases of layers."""

    name: ClassVar[str] = "fold-masks"

    def run(self, model: ir.Model) -> int:
        """Folds every weight expression of the model."""
        folder = ConstantFolder(model)
        outcomes: dict[ir.Value, ir.Value | str] = {}
        count = 0
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            for index, value in enumerate(node.inputs):
                if value is None or not _is_weight(node, index) or value.producer() is None:
                    continue
                if folder.obstacle(value) is None:
                    continue
                if value not in outcomes:
                    outcomes[value] = self._fold(model, folder, value)
                outcome = outcomes[value]
                if isinstance(outcome, str):
                    self.remark(model, "missed", node.name, outcome)
                else:
                    node.replace_input_with(index, outcome)
                    count += 1
        return count

    def _fold(self, model: ir.Model, folder: ConstantFolder, value: ir.Value) -> ir.Value | str:
        """The initializer that holds what `value` evaluates to, or why there is none."""
        if obstacle := folder.obstacle(value):
            return f"{value.name} comes from {obstacle}"
        steps = expression(value)
        try:
            tensor = folder.evaluate(steps)
        except Exception as error:  # whatever an operator's reference implementation raises
            folder.forget(steps)
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return f"{value.name} cannot be evaluated: {lines[0]}"
        before = folder.source_bytes(steps)
        if tensor.nbytes > before:
            folder.forget(steps)
            return (
                f"{value.name} stays {_describe(steps)}: "
                f"folded it would take {tensor.nbytes} bytes instead of {before}"
            )
        description, name = _describe(steps), _name(steps, folder)
        _give_up_name(steps, name, model.graph)
        folded = add_constant(main_graph(value), name, tensor, scope=model.graph)
        self.remark(model, "applied", folded.name, f"folded {description} into a constant")
        return folded


def _is_weight(node: ir.Node, index: int) -> bool:
    return node.domain == "" and index in _WEIGHT_INPUTS.get(node.op_type, ())


def _describe(steps: Expression) -> str:
    """The expression in words: its operators and the constants it starts from."""
    operators = _few(node.op_type for node in steps.nodes)
    return f"{operators} of {_few(value.name or 'a constant' for value in steps.sources)}"


def _few(words: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(words))
    more = len(distinct) - _MOST_NAMED
    return ", ".join(distinct[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _name(steps: Expression, folder: ConstantFolder) -> str:
    """The user's name of the weight: its largest constant's, less what torch adds."""
    largest = max(
        steps.sources, key=lambda value: _weightiness(folder.tensor(value)), default=steps.value
    )
    name = largest.name or "weight"
    for pattern, replacement in _TORCH_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _weightiness(tensor: ir.TensorProtocol) -> tuple[int, bool]:
    """Size, and whether the values are more than a mask's zeros and ones."""
    sample = tensor.numpy().reshape(-1)[:4096]
    return tensor.size, not np.isin(sample, (0, 1)).all()


def _give_up_name(steps: Expression, name: str, scope: ir.Graph) -> None:
    """Renames whatever in the expression holds `name` and is of no use once it is folded."""
    inside = set(steps.nodes)
    for value in (*steps.sources, *(node.outputs[0] for node in steps.nodes)):
        if value.name != name or value.is_graph_output():
            continue
        folds = value is steps.value
        if all(use.node in inside or (folds and _is_weight(*use)) for use in value.uses()):
            value.name = unique_name(scope, f"{name}.unfolded")
