"""Fuses the attention between our products into one operator.

    Reshape(Transpose(Softmax(scale * Q K^T + bias) V))  ->  MultiHeadAttention(q, k, v, bias)

    Q = Transpose(Reshape(q))  of shape (batch, heads, queries, d), K and V alike; or q itself
    K = Reshape(Expand(Unsqueeze(k)))  where heads share keys and values

The weights may pass a guard that makes NaN zero, as torch's exporter puts one behind each Softmax.

ONNX Runtime runs each of these operators over all heads and writes its result to memory, transposes
included: at 16 sequences of 128 tokens twice the time of the one operator
(`python benchmarks/attention.py`). Only attention next to a product of ours is fused, since another
model should not come to need our library. It runs after epilogues are fused, which leaves
nothing between products and attention. Where weights of those products are bf16, so are the
operands of the attention's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from nfcompile.ir.heads import (
    HEADS_FIRST,
    RANK,
    agree,
    heads_of,
    keys_of,
    permutation,
)
from nfcompile.ir.linear import scalar
from nfcompile.ir.pass_base import Pass
from nfcompile.ir.rewrite import replace_node, single_use
from nfcompile.ir.scales import changes_nothing, unchanged, unscaled
from nfcompile.ir.schemas import ATTENTION, DOMAIN

__all__ = ["FuseAttentionPass"]

_AXIS_IS_LAST = 13  # the operator set since which that is the axis of a Softmax that says none


@dataclass(frozen=True)
class FuseAttentionPass(Pass):
    """Fuses what computes the scores, their softmax and the sum of the values."""

    name: ClassVar[str] = "fuse-attention"

    def run(self, model: ir.Model) -> int:
        """Fuses in the main graph and in every subgraph."""
        count = 0
        axis = -1 if model.opset_imports.get("", 0) >= _AXIS_IS_LAST else 1
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            if node.domain or node.op_type != "Softmax":
                continue
            read = _readers(node)
            if read is None:
                continue
            found = _attention(node, *read, axis=axis)
            if isinstance(found, str):
                self.remark(model, "missed", node.name, f"attention is not fused: {found}")
            elif found is not None:
                replace_node(read[1], found)
                self.remark(model, "applied", node.name, "attention runs as one operator")
                count += 1
        return count


def _readers(softmax: ir.Node) -> tuple[ir.Node, ir.Node] | None:
    """The product with the values, and the Reshape that lays heads side by side, if they follow."""
    product = _follow(_guard(softmax) or softmax)
    transpose = None if product is None else _follow(product)
    last = None if transpose is None else _follow(transpose)
    if product is None or transpose is None or last is None:
        return None
    types = [node.op_type for node in (product, transpose, last)]
    if types != ["MatMul", "Transpose", "Reshape"] or permutation(transpose) != HEADS_FIRST:
        return None
    return product, last


def _attention(softmax: ir.Node, sums: ir.Node, last: ir.Node, axis: int) -> ir.Node | str | None:
    """The operator, or why there is none; None where nothing of ours is near.

    Args:
        softmax: Its Softmax.
        sums: The product with the values.
        last: What gives its result.
        axis: Of a Softmax that does not say it.
    """
    x = softmax.inputs[0]
    if x is None or softmax.attributes.get_int("axis", axis) not in (-1, RANK - 1):
        return "its softmax is not over the keys"
    if x.dtype != ir.DataType.FLOAT:
        return f"it computes in {x.dtype}, not in fp32"
    scores, bias = _scores(x)
    if scores is None:
        return "its scores are not a product of queries and keys"
    if single_use(x) is None:
        return "its scores are read by something else"
    factor, product = scores
    queries, keys = heads_of(product.inputs[0]), keys_of(product.inputs[1])
    values = heads_of(sums.inputs[1], shared=True)
    if queries is None or keys is None or values is None:
        return "its heads are not known to be (batch, heads, tokens, size)"
    if keys.count != values.count or queries.count % keys.count:
        return "queries, keys and values differ in their heads"
    if values.factor != 1:
        return "its values are scaled"
    if not agree(keys.dims(), values.dims()) or not agree(queries.dims()[:1], keys.dims()[:1]):
        return "queries, keys and values are not known to agree in their sizes"
    y = last.outputs[0]
    # All dimensions, since a bias may have more sequences, heads or queries than the scores.
    features = queries.count * values.size
    sizes = () if y.shape is None else y.shape.dims[:2]
    if _features(y) != features or not agree(queries.dims(), sizes):
        return "its result is not known to be (batch, tokens, features)"
    if bias is not None and (bias.shape is None or len(bias.shape) != RANK):
        return "what is added to its scores has not rank 4"
    operands = [queries.rows, keys.rows, values.rows, *([] if bias is None else [bias])]
    near = _ours([*operands[:3], y])
    if not near:
        return None
    attributes: dict[str, int | float | str] = {
        "heads": queries.count,
        "scale": factor * queries.factor * keys.factor,
        "nan_is_zero": int(_guard(softmax) is not None),
    }
    given = [value for node in near for value in node.inputs if value is not None]
    if any(value.dtype == ir.DataType.BFLOAT16 for value in given):
        attributes["precision"] = "bf16"
    return ir.node(ATTENTION.name, operands, attributes, domain=DOMAIN, name=softmax.name)


def _scores(x: ir.Value) -> tuple[tuple[float, ir.Node] | None, ir.Value | None]:
    """Factor and product of the scores, and what is added to them."""
    inner = unchanged(x)
    node = None if inner is None else inner.producer()
    if node is not None and not node.domain and node.op_type == "Add":
        for value, bias in (node.inputs, reversed(node.inputs)):
            if found := _product(value):
                return found, bias
    return _product(x), None


def _product(value: ir.Value | None) -> tuple[float, ir.Node] | None:
    factor, inner = unscaled(value)
    node = None if inner is None else inner.producer()
    if node is None or node.domain or node.op_type != "MatMul":
        return None
    return factor, node


def _guard(softmax: ir.Node) -> ir.Node | None:
    """The Where that puts 0 in the place of weights that are NaN, if nothing else reads them."""
    weights = softmax.outputs[0]
    tests = {use.node for use in weights.uses() if use.node.op_type == "IsNaN"}
    chosen = {use.node for use in weights.uses()} - tests
    if len(tests) != 1 or len(chosen) != 1 or weights.is_graph_output():
        return None
    (test,), (where,) = tests, chosen
    if where.domain or where.op_type != "Where" or single_use(test.outputs[0]) is not where:
        return None
    condition, zero, kept = where.inputs
    if condition is not test.outputs[0] or scalar(zero) != 0 or kept is not weights:
        return None
    return where


def _follow(node: ir.Node) -> ir.Node | None:
    """What alone reads the result of `node`, past nodes that change nothing."""
    reader = single_use(node.outputs[0])
    if reader is not None and changes_nothing(reader):
        return _follow(reader)
    return None if reader is None or reader.domain else reader


def _features(y: ir.Value) -> int | None:
    """The last of three dimensions, as shapes or a product that reads it tell; None if unknown."""
    if y.shape is None or len(y.shape) != RANK - 1:
        return None
    size = y.shape[-1]
    read = [use.node for use in y.uses() if use.node.domain == DOMAIN and use.idx == 0]
    known = [node.attributes.get_int("in_features", 0) for node in read]
    return size if isinstance(size, int) else next(filter(None, known), None)


def _ours(values: Sequence[ir.Value | None]) -> list[ir.Node]:
    """Those of our operators that give one of the values, or read the last."""
    given = [value for value in values if value is not None]
    near = [value.producer() for value in given] + [use.node for use in given[-1].uses()]
    return [node for node in near if node is not None and node.domain == DOMAIN]
