"""Layers whose weight and bias are both constant, so that algebra can be done on them.

y = x W^T + b        W: (out, in); b from Gemm's C, or from an Add right behind the product
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import scipy.sparse

from nfcompile.ir.linear import (
    Linear,
    constant,
    find_linears,
    is_row,
    match_linear,
)
from nfcompile.ir.rewrite import single_use

__all__ = ["Affine", "constant_row", "find_affines", "match_affine"]


@dataclass(frozen=True)
class Affine:
    """A linear layer with its constant bias: a view of one or two nodes.

    Attributes:
        linear: The product.
        add: The Add of a constant behind it, or None.
    """

    linear: Linear
    add: ir.Node | None

    @property
    def last(self) -> ir.Node:
        """The node that gives y."""
        return self.add or self.linear.node

    @property
    def output(self) -> ir.Value:
        """The value y."""
        return self.last.outputs[0]

    @property
    def nodes(self) -> list[ir.Node]:
        """Its nodes, last first."""
        return [self.linear.node] if self.add is None else [self.add, self.linear.node]

    def weight(self) -> scipy.sparse.csr_array:
        """W with Gemm's alpha in it, float32."""
        matrix = self.linear.csr().to_scipy()
        return matrix if self.linear.alpha == 1.0 else matrix * np.float32(self.linear.alpha)

    def bias(self) -> np.ndarray | None:
        """The bias b, shape (out,), float64; None if there is none."""
        rows = []
        if self.linear.bias is not None and self.linear.beta:
            rows.append(_row(self.linear.bias) * self.linear.beta)
        if self.add is not None:
            rows.extend(_row(item) for item in self.add.inputs if constant(item) is not None)
        if not rows:
            return None
        return np.array(np.broadcast_to(sum(rows), (self.linear.out_in[0],)))


def match_affine(node: ir.Node) -> Affine | str | None:
    """`node` as the product of an affine layer; None if it is no linear layer, else why not."""
    linear = match_linear(node)
    if not isinstance(linear, Linear):
        return None
    return _refusal(linear) or Affine(linear, _bias_add(linear))


def find_affines(model: ir.Model) -> dict[ir.Value, Affine | str]:
    """All linear layers by the value they give, or the reason why no algebra is done on one."""
    found: dict[ir.Value, Affine | str] = {}
    for linear in find_linears(model):
        layer = match_affine(linear.node)
        assert layer is not None
        found[layer.output if isinstance(layer, Affine) else linear.node.outputs[0]] = layer
    return found


def constant_row(value: ir.Value | None, like: ir.Value, out_features: int) -> bool:
    """Whether `value` is a constant that adds one number to each feature of `like`, no more."""
    tensor = constant(value)
    if tensor is None or not (tensor.size == 1 or is_row(tensor.shape, out_features)):
        return False
    return len(tensor.shape) <= (1 if like.shape is None else len(like.shape))


def _refusal(linear: Linear) -> str:
    weight = linear.weight
    assert weight.const_value is not None
    if weight.const_value.dtype != ir.DataType.FLOAT:
        return f"weight {weight.name} is {weight.const_value.dtype}"
    if 0 in linear.out_in:
        return f"weight {weight.name} is empty"
    if len(weight.uses()) > 1:
        return f"weight {weight.name} has other uses"
    if linear.bias is None or linear.beta == 0.0:
        return ""
    if not constant_row(linear.bias, linear.node.outputs[0], linear.out_in[0]):
        return "its bias is not a constant of one value per output"
    return ""


def _bias_add(linear: Linear) -> ir.Node | None:
    value = linear.node.outputs[0]
    follower = single_use(value)
    if follower is None or follower.op_type != "Add" or follower.domain != "":
        return None
    others = [item for item in follower.inputs if item is not value]
    if len(others) == 1 and constant_row(others[0], value, linear.out_in[0]):
        return follower
    return None


def _row(value: ir.Value | None) -> np.ndarray:
    tensor = constant(value)
    assert tensor is not None
    return tensor.numpy().reshape(-1).astype(np.float64)
