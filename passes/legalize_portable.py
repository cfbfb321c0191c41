"""Turns block-diagonal layers into standard operators that any ONNX runtime has.

    MatMul(X, W: block-diagonal)  ->  unpermute(MatMul(permute(X), values^T))     one batched MatMul

With X: (N, in), the columns of block b become row b of (B, N, C); times (B, C, R) gives (B, N, R),
and the outputs go back to where they belong. Where the permutation follows a rule of stride s it is
a Reshape and a Transpose, of B as (B / s, s), else a Gather. Einsum is never used: ONNX Runtime
runs it slowly.

N is the product of the leading dimensions of X where Y gets them back without arithmetic on shapes,
which on a GPU would be the work of the CPU: at most one of them is open, or Y has the shape of X.
Else N is the last of them, and those before it stay in front.
"""

from collections.abc import Sequence
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

_SAME = 0
"""In a shape: the dimension that is there."""


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
            if reason := _refusal(linear, tensor):
                linear.weight.const_value = ir.Tensor(tensor.numpy(), name=linear.weight.name)
                self.remark(model, "missed", linear.name, f"stays dense: {reason}")
                continue
            assert isinstance(tensor.encoding, BlockDiagonalTensor)
            assert linear.x.shape is not None
            _Emitter(linear, tensor.encoding, linear.x.shape.dims[:-1]).emit()
            count += 1
        return count


def _refusal(linear: Linear, tensor: EncodedTensor) -> str:
    if not isinstance(tensor.encoding, BlockDiagonalTensor):
        return f"{tensor.encoding.kind} has no form in standard operators"
    return f"the rank of {linear.x.name} is not known" if linear.x.shape is None else ""


class _Emitter:
    """Writes one layer."""

    def __init__(
        self,
        linear: Linear,
        encoding: BlockDiagonalTensor,
        leading: Sequence[int | ir.SymbolicDim],
    ) -> None:
        self._linear = linear
        self._encoding = encoding
        self._graph = main_graph(linear.weight)
        self._tape = ir.tape.Tape()
        self._sizes = [size if isinstance(size, int) else -1 for size in leading]
        self._alike = encoding.in_features == encoding.out_features
        self._flat = self._sizes.count(-1) <= 1 or self._alike
        # Dimensions in front of N.
        self._front = 0 if self._flat else len(leading) - 1

    def emit(self) -> None:
        """Replaces the layer's node."""
        x = self._linear.x
        flattened = self._flat and len(self._sizes) != 1
        matrix = self._reshape(x, [-1, self._encoding.in_features]) if flattened else x
        values = self._encoding.values.transpose(0, 2, 1) * np.float32(self._linear.alpha)
        split, after = self._splits()
        weight = values.astype(np.float32).reshape(*split, *values.shape[1:])
        y = self._op("MatMul", self._gather_blocks(matrix, split), self._constant("blocks", weight))
        if split != after:
            y = self._reshape(y, [*after, _SAME, _SAME])
        y = self._scatter_blocks(y, after)
        if flattened:
            y = self._unflattened(y)
        y = self._add_bias(y)
        insert_before(self._linear.node, *self._tape.nodes[:-1])
        replace_node(self._linear.node, self._tape.nodes[-1])

    def _unflattened(self, y: ir.Value) -> ir.Value:
        """(N, out) -> (..., out)."""
        if self._sizes.count(-1) > 1:
            return self._op("Reshape", y, self._op("Shape", self._linear.x))
        return self._reshape(y, [*self._sizes, self._encoding.out_features])

    def _splits(self) -> tuple[list[int], list[int]]:
        """B as it is in the product, and as rows want it: whole, or by the stride."""
        count = len(self._encoding.values)
        strides = (self._encoding.col_stride, self._encoding.row_stride)
        cols, rows = ([count // s, s] if s > 1 else None for s in strides)
        return cols or rows or [count], rows or cols or [count]

    def _gather_blocks(self, x: ir.Value, split: list[int]) -> ir.Value:
        """(N, in) -> (B / s, s, N, C), or (B, N, C)."""
        stride, width = self._encoding.col_stride, self._encoding.values.shape[2]
        if stride > 1:
            blocks = self._reshape(x, [_SAME, split[0], width, split[1]])
            return self._transpose(blocks, 1, 3, 0, 2)
        if not stride:
            # Padding reads column 0, and its weights are zero.
            x = self._gather(x, "cols", self._encoding.cols)
        behind = len(split) + 1
        return self._transpose(
            self._reshape(x, [_SAME, *split, width]), *range(1, behind), 0, behind
        )

    def _scatter_blocks(self, y: ir.Value, split: list[int]) -> ir.Value:
        """(B / s, s, N, R), or (B, N, R), -> (N, out)."""
        count, height, _ = self._encoding.values.shape
        stride = self._encoding.row_stride
        own = len(split)
        order = (2, 0, 3, 1) if stride > 1 else (own, *range(own), own + 1)
        flat = self._reshape(self._transpose(y, *order), [_SAME, count * height])
        if stride:
            return flat
        slots = np.argsort(self._encoding.rows.reshape(-1), kind="stable")
        return self._gather(flat, "rows", slots[-self._encoding.out_features :])

    def _add_bias(self, y: ir.Value) -> ir.Value:
        bias, beta = self._linear.bias, self._linear.beta
        if bias is None or beta == 0.0:
            return y
        if beta != 1.0:
            bias = self._op("Mul", bias, self._constant("beta", np.array(beta, np.float32)))
        return self._op("Add", y, bias)

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return self._tape.op(op_type, inputs, attributes)

    def _transpose(self, x: ir.Value, *perm: int) -> ir.Value:
        """Permutes the dimensions behind those in front."""
        moved = [*range(self._front), *(self._front + axis for axis in perm)]
        return self._tape.op("Transpose", [x], {"perm": moved})

    def _reshape(self, x: ir.Value, shape: list[int]) -> ir.Value:
        """Reshapes what is behind the dimensions in front."""
        full = np.array([_SAME] * self._front + shape, np.int64)
        return self._op("Reshape", x, self._constant("shape", full))

    def _gather(self, x: ir.Value, name: str, indices: np.ndarray) -> ir.Value:
        """Columns of x; where an index is -1, any."""
        at = self._constant(name, np.maximum(indices.reshape(-1), 0).astype(np.int64))
        return self._op("Gather", x, at, axis=self._front + 1)

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        return add_constant(self._graph, f"{self._linear.weight.name}.{name}", array)
