"""Brings linear layers to one form: the constant on the right.

    MatMul(W, X)              ->  Transpose(MatMul(Transpose(X), W^T))     W constant, X a matrix
    Transpose(Transpose(X))   ->  X                                        where the two cancel
    Cast(A), CastLike(A, B)   ->  A                                        where the types agree
    Slice(A)                  ->  A                                        of all that there is

The first makes sparse weights that multiply from the left visible to the passes after it. Where W
stayed dense all the same, it is undone at the end: two transposes cost a dense product more than
they give.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from nfcompile.ir.linear import constant
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import insert_before, replace_node, single_use

__all__ = ["CanonicalizePass"]

_END = np.iinfo(np.int32).max  # of a Slice, from here on: behind all there is


@dataclass(frozen=True)
class CanonicalizePass(Pass):
    """Moves sparse constants right of MatMul, cancels transposes, drops what changes nothing.

    Attributes:
        max_density: Highest density at which a left constant is moved.
        restore: Move constants back that stayed dense, instead of moving sparse ones.
    """

    name: ClassVar[str] = "canonicalize"
    max_density: float = 0.5
    restore: bool = False

    def run(self, model: ir.Model) -> int:
        """Rewrites all nodes that match."""
        count = 0
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            if node.domain != "":
                continue
            if node.op_type == "MatMul" and not self.restore:
                count += self._move_constant(model, node)
            elif node.op_type in ("Cast", "CastLike"):
                count += _drop_cast(node)
            elif node.op_type == "Slice":
                count += _drop_slice(node)
            elif node.op_type == "Transpose":
                count += _cancel(node) or (self.restore and _restore(node))
        return count

    def _move_constant(self, model: ir.Model, node: ir.Node) -> int:
        weight, x = node.inputs
        tensor = constant(weight)
        if tensor is None or weight is None or x is None or constant(x) is not None:
            return 0
        if len(tensor.shape) != 2 or tensor.dtype != ir.DataType.FLOAT:
            return 0
        dense = tensor.numpy()
        density = np.count_nonzero(dense) / max(dense.size, 1)
        if density > self.max_density:
            return 0
        if x.shape is None or len(x.shape) != 2:
            self.remark(
                model,
                "missed",
                node.name,
                f"left constant {weight.name} times X of unknown rank",
            )
            return 0
        turned = ir.node("Transpose", [x], {"perm": [1, 0]})
        transposed = ir.node("Transpose", [weight], {"perm": [1, 0]})
        product = ir.node("MatMul", [turned.outputs[0], transposed.outputs[0]], name=node.name)
        insert_before(node, turned, transposed, product)
        replace_node(node, ir.node("Transpose", product.outputs, {"perm": [1, 0]}))
        self.remark(model, "applied", weight.name, "moved from the left of MatMul to the right")
        return 1


def _cancel(node: ir.Node) -> int:
    """Removes `node` if it undoes the Transpose before it."""
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if source is None or source.op_type != "Transpose" or source.domain != "":
        return 0
    inner, outer = source.attributes.get("perm"), node.attributes.get("perm")
    if inner is None or outer is None or node.outputs[0].is_graph_output():
        return 0
    if [inner.as_ints()[axis] for axis in outer.as_ints()] != list(range(len(outer.as_ints()))):
        return 0
    assert source.inputs[0] is not None and node.graph is not None
    node.outputs[0].replace_all_uses_with(source.inputs[0])
    node.graph.remove(node, safe=True)
    return 1


def _drop_cast(node: ir.Node) -> int:
    """Removes a cast that changes nothing."""
    value = node.inputs[0]
    if node.op_type == "Cast":
        to: int | None = node.attributes.get_int("to")
    else:
        to = None if node.inputs[1] is None else node.inputs[1].dtype
    if value is None or value.dtype is None or value.dtype != to:
        return 0
    if node.outputs[0].is_graph_output() or node.graph is None:
        return 0
    node.outputs[0].replace_all_uses_with(value)
    node.graph.remove(node, safe=True)
    return 1


def _drop_slice(node: ir.Node) -> int:
    """Removes a Slice from the first element to behind the last."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or y.is_graph_output() or node.graph is None:
        return 0
    starts, ends, *steps = (constant(value) for value in (*node.inputs[1:3], *node.inputs[4:]))
    if starts is None or ends is None or None in steps:
        return 0
    if starts.numpy().any() or (ends.numpy() < _END).any():
        return 0
    if any((step.numpy() != 1).any() for step in steps if step is not None):
        return 0
    y.replace_all_uses_with(x)
    node.graph.remove(node, safe=True)
    return 1


def _restore(node: ir.Node) -> int:
    """Transpose(MatMul(Transpose(X), W)) with a constant W becomes MatMul(W^T, X)."""
    product = node.inputs[0].producer() if node.inputs[0] is not None else None
    if product is None or product.op_type != "MatMul" or not _turns_matrix(node):
        return 0
    x, weight = product.inputs
    turned = x.producer() if x is not None else None
    if turned is None or weight is None or constant(weight) is None or not _turns_matrix(turned):
        return 0
    if single_use(product.outputs[0]) is not node or len(weight.shape or ()) != 2:
        return 0
    transposed = ir.node("Transpose", [weight], {"perm": [1, 0]})
    insert_before(node, transposed)
    replace_node(
        node, ir.node("MatMul", [transposed.outputs[0], turned.inputs[0]], name=product.name)
    )
    assert product.graph is not None
    product.graph.remove(product, safe=True)
    return 1


def _turns_matrix(node: ir.Node) -> bool:
    perm = node.attributes.get("perm")
    return node.op_type == "Transpose" and perm is not None and perm.as_ints() == (1, 0)
