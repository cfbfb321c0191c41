"""A graph of linear layers as plain steps, for engines that take arrays instead of `.onnx` files.

Products with constant weights, biases, activations however they are spelled, and sums: enough for
multilayer perceptrons, cascades with branches and skips, and the feed-forward part of transformers.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from scipy.sparse import csr_array

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.activations import match_activation
from nfcompile.ir.constant_folding import ConstantFolder, expression
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.sparse import CsrTensor

__all__ = ["Activate", "LinearGraph", "Multiply", "Step", "Sum", "read_linear_graph"]


@dataclass(frozen=True, eq=False)
class Multiply:
    """`y = x W^T + b`.

    Attributes:
        x: Name of the operand, shape (..., in).
        y: Name of the result, shape (..., out).
        weight: W, float32 (out, in), dense or by its non-zeros as the graph has it.
        bias: Float32 (out,), or None.
    """

    x: str
    y: str
    weight: "np.ndarray | csr_array"
    bias: np.ndarray | None = None

    def dense(self) -> np.ndarray:
        """W as a dense array."""
        weight = self.weight
        return weight if isinstance(weight, np.ndarray) else np.asarray(weight.toarray())

    def csr(self) -> csr_array:
        """W by its non-zeros, with 32-bit indices."""
        weight = self.weight
        return csr_array(weight) if isinstance(weight, np.ndarray) else weight


@dataclass(frozen=True)
class Activate:
    """`y = f(x)`, element by element; name and parameters are those of `ir.activations`."""

    x: str
    y: str
    name: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True, eq=False)
class Sum:
    """`y = x + other`: another value of the same shape, or a bias of shape (out,)."""

    x: str
    other: "str | np.ndarray"
    y: str


Step = Multiply | Activate | Sum


@dataclass(frozen=True)
class LinearGraph:
    """A graph of one input and one output.

    Attributes:
        input: Name of the input.
        output: Name of the output.
        steps: In an order in which they can be run.
    """

    input: str
    output: str
    steps: tuple[Step, ...]

    def freed_after(self) -> list[tuple[str, ...]]:
        """For each step the names that no later one reads, the graph's input and output aside."""
        last: dict[str, int] = {}
        for index, step in enumerate(self.steps):
            last[step.x] = index
            if isinstance(step, Sum) and isinstance(step.other, str):
                last[step.other] = index
        kept = {self.input, self.output}
        return [
            tuple(name for name, at in last.items() if at == index and name not in kept)
            for index in range(len(self.steps))
        ]


def read_linear_graph(path: Path) -> LinearGraph:
    """Reads the `.onnx` file at `path`.

    Raises:
        UnsupportedModelError: If a node of it is something else.
    """
    model = ir.load(path)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    if len(inputs) != 1 or len(model.graph.outputs) != 1:
        raise UnsupportedModelError(
            f"{path.name} must have one input and one output to run layer by layer, "
            f"got {len(inputs)} and {len(model.graph.outputs)}"
        )
    steps = _steps(model, path.name)
    return LinearGraph(str(inputs[0].name), str(model.graph.outputs[0].name), tuple(steps))


def _steps(model: ir.Model, name: str) -> list[Step]:
    folder = ConstantFolder(model)
    steps: list[Step] = []
    done: set[ir.Node] = set()
    for node in model.graph:
        if node in done or folder.obstacle(node.outputs[0]) == "":
            continue
        operands = [value for value in node.inputs if value is not None]
        fixed = [folder.obstacle(value) == "" for value in operands]
        result = node.outputs[0]
        if node.op_type in ("MatMul", "Gemm") and fixed[:2] == [False, True]:
            steps.append(_product(node, folder))
        elif node.op_type == "Add" and fixed in ([True, False], [False, True]):
            x, bias = operands if fixed[1] else operands[::-1]
            row = np.asarray(_constant(bias, folder))
            if row.size != row.shape[-1]:
                raise UnsupportedModelError(f"{name} cannot run by layers: {bias.name} is no bias")
            _add_bias(steps, x, row.reshape(-1), str(result.name))
        elif node.op_type == "Add" and fixed == [False, False]:
            steps.append(Sum(str(operands[0].name), str(operands[1].name), str(result.name)))
        else:
            what = node.name or result.name
            raise UnsupportedModelError(
                f"{name} cannot run by layers: {node.op_type} {what} is no layer, bias, "
                "sum or activation"
            )
        while found := match_activation(result, dict(model.opset_imports)):
            x_name, result = str(result.name), found.nodes[-1].outputs[0]
            steps.append(Activate(x_name, str(result.name), found.name, found.alpha, found.beta))
            done.update(found.nodes)
    return steps


def _product(node: ir.Node, folder: ConstantFolder) -> Multiply:
    gemm = node.op_type == "Gemm"
    weight = _constant(node.inputs[1], folder)
    transposed = node.attributes.get_int("transB", 0) if gemm else 0
    if not transposed:
        weight = _transposed(weight)
    bias = None
    if gemm:
        if (alpha := node.attributes.get_float("alpha", 1.0)) != 1.0:
            weight = weight * np.float32(alpha)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            row = np.asarray(_constant(node.inputs[2], folder)).reshape(-1)
            row = row * np.float32(node.attributes.get_float("beta", 1.0))
            bias = np.broadcast_to(row, weight.shape[:1])
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    return Multiply(str(x.name), str(y.name), weight, bias)


def _add_bias(steps: list[Step], x: ir.Value, row: np.ndarray, y: str) -> None:
    """Joins a bias to the product just before it, if that is what it is added to."""
    last = steps[-1] if steps else None
    if isinstance(last, Multiply) and last.y == x.name and len(x.uses()) == 1:
        steps[-1] = replace(last, y=y, bias=row if last.bias is None else last.bias + row)
    else:
        steps.append(Sum(str(x.name), row, y))


def _constant(value: ir.Value | None, folder: ConstantFolder) -> "np.ndarray | csr_array":
    assert value is not None
    steps = expression(value)
    tensor = folder.evaluate(steps)
    folder.forget(steps)
    if isinstance(tensor, EncodedTensor) and isinstance(tensor.encoding, CsrTensor):
        weight = tensor.encoding
        indices = weight.indices.astype(np.int32)
        shape = len(weight.indptr) - 1, weight.in_features
        csr = csr_array((weight.values, indices, weight.indptr.astype(np.int32)), shape=shape)
        return _transposed(csr) if tensor.transposed else csr
    return np.asarray(tensor.numpy())


def _transposed(weight: "np.ndarray | csr_array") -> "np.ndarray | csr_array":
    return weight.T if isinstance(weight, np.ndarray) else csr_array(weight.T)
