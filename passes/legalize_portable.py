"""Turns block-diagonal layers into standard operators that any ONNX runtime has.

    MatMul(X, W: block-diagonal)  ->  unpermute(MatMul(permute(X), values^T))     one batched MatMul

With X: (N, in), the columns of block b become row b of (B, N, C); times (B, C, R) gives (B, N, R),
and the outputs go back to where they belong. Where the permutation follows a stride rule it is a
Reshape and a Transpose, else a Gather. Einsum is never used: ONNX Runtime runs it slowly.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.linear import Linear, find_linears
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import add_constant, insert_before, main_graph, replace_node
from nfcompile.sparse import BlockDiagonalTensor

__all__ = ["LegalizePortablePass"]


@dataclass(frozen=True)
class LegalizePortablePass(Pass):
    """Rewrites every layer whose weight is block-diagonal; other encodings become dense again."""

    name: ClassVar[str] = "legalize-portable"

    def run(self, model: ir.Model) -> int:
        """Emits Reshape, Transpose, Gather and MatMul."""
        count = 0
        for linear in list(find_linears(model)):
            tensor = linear.weight.const_value
            if not isinstance(tensor, EncodedTensor):
                continue
            if isinstance(tensor.encoding, BlockDiagonalTensor):
                _Emitter(linear, tensor.encoding).emit()
                count += 1
            else:
                linear.weight.const_value = ir.Tensor(tensor.numpy(), name=linear.weight.name)
                reason = f"stays dense: {tensor.encoding.kind} has no form in standard operators"
                self.remark(model, "missed", linear.name, reason)
        return count


class _Emitter:
    """Writes one layer; N is the product of the leading dimensions of X."""

    def __init__(self, linear: Linear, encoding: BlockDiagonalTensor) -> None:
        self._linear = linear
        self._encoding = encoding
        self._graph = main_graph(linear.weight)
        self._tape = ir.tape.Tape()

    def emit(self) -> None:
        """Replaces the layer's node."""
        x = self._linear.x
        is_matrix = x.shape is not None and len(x.shape) == 2
        matrix = x if is_matrix else self._reshape(x, [-1, self._encoding.in_features])
        blocks = self._gather_blocks(matrix)
        values = self._encoding.values.transpose(0, 2, 1) * np.float32(self._linear.alpha)
        weight = self._constant("blocks", np.ascontiguousarray(values, np.float32))
        y = self._scatter_blocks(self._op("MatMul", blocks, weight))
        if not is_matrix:
            y = self._op("Reshape", y, self._output_shape(x))
        y = self._add_bias(y)
        insert_before(self._linear.node, *self._tape.nodes[:-1])
        replace_node(self._linear.node, self._tape.nodes[-1])

    def _gather_blocks(self, x: ir.Value) -> ir.Value:
        """(N, in) -> (B, N, C)."""
        count, _, width = self._encoding.values.shape
        stride = self._encoding.col_stride
        if stride > 1:
            split = self._reshape(x, [-1, count // stride, width, stride])
            return self._reshape(self._transpose(split, 1, 3, 0, 2), [count, -1, width])
        if not stride:
            # Padding reads column 0, and its weights are zero.
            x = self._op("Gather", x, self._indices("cols", self._encoding.cols), axis=1)
        return self._transpose(self._reshape(x, [-1, count, width]), 1, 0, 2)

    def _scatter_blocks(self, y: ir.Value) -> ir.Value:
        """(B, N, R) -> (N, out)."""
        count, height, _ = self._encoding.values.shape
        stride = self._encoding.row_stride
        if stride > 1:
            split = self._reshape(y, [count // stride, stride, -1, height])
            y = self._transpose(split, 2, 0, 3, 1)
            return self._reshape(y, [-1, self._encoding.out_features])
        flat = self._reshape(self._transpose(y, 1, 0, 2), [-1, count * height])
        if stride:
            return flat
        slots = np.argsort(self._encoding.rows.reshape(-1), kind="stable")
        return self._op(
            "Gather", flat, self._indices("rows", slots[-self._encoding.out_features :]), axis=1
        )

    def _add_bias(self, y: ir.Value) -> ir.Value:
        bias, beta = self._linear.bias, self._linear.beta
        if bias is None or beta == 0.0:
            return y
        if beta != 1.0:
            bias = self._op("Mul", bias, self._constant("beta", np.array(beta, np.float32)))
        return self._op("Add", y, bias)

    def _output_shape(self, x: ir.Value) -> ir.Value:
        """The leading dimensions of X, then out."""
        leading = self._op(
            "Slice",
            self._op("Shape", x),
            self._constant("zero", np.array([0], np.int64)),
            self._constant("last", np.array([-1], np.int64)),
        )
        out = self._constant("out", np.array([self._encoding.out_features], np.int64))
        return self._op("Concat", leading, out, axis=0)

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return self._tape.op(op_type, inputs, attributes)

    def _transpose(self, x: ir.Value, *perm: int) -> ir.Value:
        return self._tape.op("Transpose", [x], {"perm": perm})

    def _reshape(self, x: ir.Value, shape: list[int]) -> ir.Value:
        return self._op("Reshape", x, self._constant("shape", np.array(shape, np.int64)))

    def _indices(self, name: str, indices: np.ndarray) -> ir.Value:
        return self._constant(name, np.maximum(indices.reshape(-1), 0).astype(np.int64))

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        return add_constant(self._graph, f"{self._linear.weight.name}.{name}", array)
