"""Rows that are split into heads, as queries, keys and values of attention are, however it is done.

Transpose(Reshape(rows))  of shape (batch, heads, tokens, size)  <-  rows (batch, tokens, features)
"""

import math
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.linear import scalar
from nfcompile.ir.shape_inference import known_dims

__all__ = [
    "HEADS_FIRST",
    "RANK",
    "Heads",
    "changes_nothing",
    "heads_of",
    "keys_of",
    "permutation",
    "same_dims",
    "unchanged",
    "unscaled",
]

HEADS_FIRST = (0, 2, 1, 3)
"""The permutation that brings heads in front of tokens, and back."""
RANK = 4
"""Of what is split into heads."""
_USUAL = (1e-6, 1e6)  # factors whose product is within the range of fp32


@dataclass(frozen=True)
class Heads:
    """Rows that are split into heads.

    Attributes:
        rows: Shape (batch, tokens, heads * size).
        count: Number of heads.
        features: heads * size.
        factor: By which all elements are multiplied on the way.
    """

    rows: ir.Value
    count: int
    features: int
    factor: float = 1.0


def keys_of(value: ir.Value | None) -> Heads | None:
    """Of a value of shape (batch, heads, d, keys)."""
    factor, inner = unscaled(value)
    if (rows := _turned(inner)) is not None:
        return heads_of(rows, factor)
    node = None if inner is None else inner.producer()
    if node is None or node.domain or node.op_type != "Transpose":
        return None
    if permutation(node) == (0, 2, 3, 1):
        return _split(node.inputs[0], factor)
    return heads_of(node.inputs[0], factor) if permutation(node) == (0, 1, 3, 2) else None


def _turned(value: ir.Value | None) -> ir.Value | None:
    """What has its last two axes exchanged in `value`, with those before them as one meanwhile."""
    split = None if value is None else value.producer()
    turn = None if split is None or split.inputs[0] is None else split.inputs[0].producer()
    merge = None if turn is None or turn.inputs[0] is None else turn.inputs[0].producer()
    if split is None or turn is None or merge is None:
        return None
    if [node.op_type for node in (split, turn, merge)] != ["Reshape", "Transpose", "Reshape"]:
        return None
    x = merge.inputs[0]
    before, merged, after = (known_dims(of) for of in (x, merge.outputs[0], value))
    if permutation(turn) != (0, 2, 1) or len(before) != RANK or merged[1:] != before[2:]:
        return None
    return x if after == [*before[:2], before[3], before[2]] else None


def heads_of(value: ir.Value | None, factor: float = 1.0) -> Heads | None:
    """Of a value of shape (batch, heads, tokens, size)."""
    own, inner = unscaled(value)
    node = None if inner is None else inner.producer()
    if (
        node is None
        or node.domain
        or node.op_type != "Transpose"
        or permutation(node) != HEADS_FIRST
    ):
        return None
    return _split(node.inputs[0], own * factor)


def _split(value: ir.Value | None, factor: float) -> Heads | None:
    """Of a value of shape (batch, tokens, heads, size)."""
    own, inner = unscaled(value)
    node = None if inner is None else inner.producer()
    if node is None or node.domain or node.op_type != "Reshape":
        return None
    more, rows = unscaled(node.inputs[0])
    shape = node.outputs[0].shape
    if (
        rows is None
        or rows.shape is None
        or shape is None
        or not same_dims(rows, node.outputs[0], 2)
    ):
        return None
    features, size = rows.shape[-1], shape[-1]
    if len(rows.shape) != RANK - 1 or len(shape) != RANK:
        return None
    if not isinstance(features, int) or not isinstance(size, int) or not 0 < size <= features:
        return None
    return Heads(rows, features // size, features, own * more * factor)


def unscaled(value: ir.Value | None) -> tuple[float, ir.Value | None]:
    """`value` as a factor times another value, past Casts that change nothing."""
    value = unchanged(value)
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type not in ("Mul", "Div"):
        return 1.0, value
    first, second = (_scalar(operand) for operand in node.inputs)
    if second is not None:
        factor, inner = unscaled(node.inputs[0])
        return (factor * second if node.op_type == "Mul" else factor / second), inner
    if first is not None and node.op_type == "Mul":
        factor, inner = unscaled(node.inputs[1])
        return factor * first, inner
    return 1.0, value


def _scalar(value: ir.Value | None) -> float | None:
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Sqrt" and not node.domain:
        squared = scalar(node.inputs[0])
        number = None if squared is None or squared < 0 else math.sqrt(squared)
    else:
        number = scalar(value)
    return number if number and _USUAL[0] < abs(number) < _USUAL[1] else None


def unchanged(value: ir.Value | None) -> ir.Value | None:
    """What `value` is before nodes that change nothing."""
    node = None if value is None else value.producer()
    if node is None or not changes_nothing(node):
        return value
    return unchanged(node.inputs[0])


def changes_nothing(node: ir.Node) -> bool:
    """Whether it is a Cast to the same type, or a Reshape to the same shape."""
    x = node.inputs[0] if node.inputs else None
    if x is None or node.domain:
        return False
    if node.op_type == "Reshape":
        return bool(known_dims(x)) and known_dims(x) == known_dims(node.outputs[0])
    to = node.attributes.get_int("to", 0)
    return node.op_type == "Cast" and x.dtype == to == ir.DataType.FLOAT


def permutation(node: ir.Node) -> tuple[int, ...]:
    """The axes of a Transpose; none where they are not given."""
    return tuple(node.attributes.get_ints("perm", ()) or ())


def same_dims(first: ir.Value, second: ir.Value, dims: int) -> bool:
    """Whether the first dimensions of two values are known to be the same."""
    if first.shape is None or second.shape is None:
        return False
    pairs = list(zip(first.shape.dims[:dims], second.shape.dims[:dims], strict=False))
    unknown = ir.SymbolicDim(None)
    return len(pairs) == dims and all(a == b and a != unknown for a, b in pairs)
