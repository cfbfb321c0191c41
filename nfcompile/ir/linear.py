"""Linear layers: the nodes whose weight can be sparse, seen the same way whatever their operator.

Y = alpha * X W^T + beta * C        W: (out, in), rows are outputs
"""

import dataclasses
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.external_tensors import release
from nfcompile.ir.half_floats import widen
from nfcompile.ir.layer import Layer
from nfcompile.sparse import CsrTensor, Encoding

__all__ = [
    "Linear",
    "constant",
    "find_linears",
    "is_row",
    "match_linear",
    "scalar",
]


@dataclass(frozen=True)
class Linear(Layer):
    """One MatMul or Gemm with a constant matrix as its right operand: a view of its node.

    Activations have shape (..., in); the bias is Gemm's C.

    Attributes:
        transposed: Whether the constant is stored (in, out).
        alpha: Factor of the product.
        beta: Factor of the bias.
    """

    transposed: bool
    alpha: float = 1.0
    beta: float = 1.0

    @property
    def out_in(self) -> tuple[int, int]:
        """(out, in) of the weight."""
        assert self.weight.const_value is not None
        first, second = (int(size) for size in self.weight.const_value.shape.numpy())
        return (second, first) if self.transposed else (first, second)

    @property
    def way(self) -> Hashable:
        """Which way around the constant is stored."""
        return "linear", self.transposed

    def csr(self) -> CsrTensor:
        """The non-zeros of the weight, (out, in), without `alpha`; fp32 where they are narrower."""
        weight = self.weight.const_value
        assert weight is not None
        if isinstance(weight, EncodedTensor) and isinstance(weight.encoding, CsrTensor):
            csr, values = weight.encoding, widen(weight.encoding.values)
            if values is not csr.values:
                csr = dataclasses.replace(csr, values=values)
            return csr if weight.transposed == self.transposed else csr.transposed()
        csr = CsrTensor.from_dense(widen(weight.numpy()))
        release(weight)
        return csr.transposed() if self.transposed else csr

    def encoded(self, encoding: Encoding, precision: str = "fp32") -> EncodedTensor:
        """The constant over an encoding of the weight."""
        return EncodedTensor(
            encoding,
            transposed=self.transposed,
            name=self.weight.name,
            precision=precision,
            dtype=self.dtype,
        )


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of `value` if it can never change: an initializer that is not also an input."""
    if value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value


def scalar(value: ir.Value | None) -> float | None:
    """The number that a constant of at most one axis holds; None if it is something else."""
    tensor = constant(value)
    if tensor is None or tensor.size != 1 or len(tensor.shape) > 1:
        return None
    return float(tensor.numpy().item())


def is_row(shape: ir.ShapeProtocol | None, out_features: int | ir.SymbolicDim) -> bool:
    """Whether a value of this shape holds one number per output, and broadcasts along the rest."""
    if shape is None or not len(shape):
        return False
    return shape[-1] == out_features and all(size == 1 for size in list(shape)[:-1])


def match_linear(node: ir.Node) -> Linear | str | None:
    """`node` as a linear layer; None if it is none, a reason if one cannot be made of it."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("MatMul", "Gemm"):
        return None
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or weight is None:
        return None
    if constant(weight) is None:
        if weight.is_initializer():
            return (
                f"weight {weight.name} is also a graph input, so it may change at run time "
                "(the pass remove-initializers-from-inputs makes it constant)"
            )
        if constant(x) is not None and node.op_type == "MatMul":
            return "the constant is the left operand"
        return None
    tensor = constant(weight)
    assert tensor is not None
    if len(tensor.shape) != 2:
        return f"weight {weight.name} has {len(tensor.shape)} dimensions, not 2"
    if node.op_type == "MatMul":
        return Linear(node, transposed=True)
    if node.attributes.get_int("transA", 0):
        return "transA is set"
    return Linear(
        node,
        transposed=not node.attributes.get_int("transB", 0),
        alpha=node.attributes.get_float("alpha", 1.0),
        beta=node.attributes.get_float("beta", 1.0),
    )


def find_linears(model: ir.Model) -> Iterator[Linear]:
    """All linear layers of the model, subgraphs included, in topological order."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        match = match_linear(node)
        if isinstance(match, Linear):
            yield match
