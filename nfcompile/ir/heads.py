"""Rows that are split into heads, as queries, keys and values of attention are, however it is done.

Transpose(Reshape(rows))  of shape (batch, heads, tokens, size)  <-  rows (batch, tokens, features)

What has that shape in another way, as after rotary embeddings or out of a cache, is taken as it is.
Keys and values that several heads share are taken before they are repeated:

Reshape(Expand(Unsqueeze(x)))  of shape (batch, heads, tokens, size)  <-  x with fewer heads
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.scales import unscaled
from nfcompile.ir.shape_inference import known_dims

__all__ = [
    "HEADS_FIRST",
    "RANK",
    "Heads",
    "agree",
    "heads_of",
    "keys_of",
    "permutation",
]

HEADS_FIRST = (0, 2, 1, 3)
"""The permutation that brings heads in front of tokens, and back."""
RANK = 4
"""Of what is split into heads."""
Dim = int | ir.SymbolicDim


@dataclass(frozen=True)
class Heads:
    """Rows that are split into heads.

    Attributes:
        rows: Shape (batch, tokens, heads * size), or (batch, heads, tokens, size).
        count: Number of heads.
        size: Of a head.
        factor: By which all elements are multiplied on the way.
    """

    rows: ir.Value
    count: int
    size: int
    factor: float = 1.0

    def dims(self) -> tuple[Dim, Dim]:
        """Batch and tokens."""
        assert self.rows.shape is not None
        given = self.rows.shape.dims
        return given[0], given[1 if len(given) < RANK else 2]


def keys_of(value: ir.Value | None) -> Heads | None:
    """Of a value of shape (batch, heads, d, keys)."""
    factor, inner = unscaled(value)
    if (rows := _turned(inner)) is not None:
        return heads_of(rows, factor, shared=True)
    node = None if inner is None else inner.producer()
    if node is None or node.domain or node.op_type != "Transpose":
        return None
    if permutation(node) == (0, 2, 3, 1):
        return _split(node.inputs[0], factor)
    if permutation(node) != (0, 1, 3, 2):
        return None
    return heads_of(node.inputs[0], factor, shared=True)


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


def heads_of(value: ir.Value | None, factor: float = 1.0, *, shared: bool = False) -> Heads | None:
    """Of a value of shape (batch, heads, tokens, size).

    Args:
        value: The value.
        factor: By which it is multiplied.
        shared: Whether heads may share it, as they do keys and values.
    """
    own, inner = unscaled(value)
    if shared and (fewer := _repeated(inner)) is not None:
        return heads_of(fewer, own * factor)
    node = None if inner is None else inner.producer()
    if (
        node is not None
        and not node.domain
        and node.op_type == "Transpose"
        and permutation(node) == HEADS_FIRST
        and (split := _split(node.inputs[0], own * factor))
    ):
        return split
    return _as_it_is(inner, own * factor)


def _as_it_is(value: ir.Value | None, factor: float) -> Heads | None:
    """Of a value of that shape that nothing is known of."""
    if value is None or value.shape is None or len(value.shape) != RANK:
        return None
    count, size = value.shape[1], value.shape[3]
    if not isinstance(count, int) or not isinstance(size, int) or count < 1 or size < 1:
        return None
    return Heads(value, count, size, factor)


def _repeated(value: ir.Value | None) -> ir.Value | None:
    """What gives `value` where each of its heads is repeated for several neighbours."""
    merge = None if value is None else value.producer()
    expand = None if merge is None or not merge.inputs else _producer(merge.inputs[0])
    split = None if expand is None else _producer(expand.inputs[0])
    if merge is None or expand is None or split is None:
        return None
    if [node.op_type for node in (merge, expand, split)] != ["Reshape", "Expand", "Unsqueeze"]:
        return None
    x = split.inputs[0]
    before, one, many, after = (
        known_dims(of) for of in (x, split.outputs[0], expand.outputs[0], value)
    )
    if len(before) != RANK or one != [*before[:2], 1, *before[2:]] or len(many) != RANK + 1:
        return None
    if many != [*before[:2], many[2], *before[2:]] or not isinstance(many[2], int):
        return None
    if not isinstance(before[1], int) or after != [before[0], before[1] * many[2], *before[2:]]:
        return None
    return x


def _producer(value: ir.Value | None) -> ir.Node | None:
    node = None if value is None else value.producer()
    return None if node is None or node.domain else node


def _split(value: ir.Value | None, factor: float) -> Heads | None:
    """Of a value of shape (batch, tokens, heads, size)."""
    own, inner = unscaled(value)
    node = None if inner is None else inner.producer()
    if node is None or node.domain or node.op_type != "Reshape":
        return None
    more, rows = unscaled(node.inputs[0])
    shape = node.outputs[0].shape
    if rows is None or rows.shape is None or shape is None:
        return None
    if len(rows.shape) != RANK - 1 or len(shape) != RANK:
        return None
    features, size = rows.shape[-1], shape[-1]
    if not agree(rows.shape.dims[:2], shape.dims[:2]):
        return None
    if not isinstance(features, int) or not isinstance(size, int) or not 0 < size <= features:
        return None
    return Heads(rows, features // size, size, own * more * factor)


def permutation(node: ir.Node) -> tuple[int, ...]:
    """The axes of a Transpose; none where they are not given."""
    return tuple(node.attributes.get_ints("perm", ()) or ())


def agree(first: Sequence[Dim], second: Sequence[Dim]) -> bool:
    """Whether dimensions are known to be the same."""
    unknown = ir.SymbolicDim(None)
    pairs = list(zip(first, second, strict=True))
    return all(_terms(a) == _terms(b) and a != unknown for a, b in pairs)


def _terms(dim: Dim) -> object:
    """A dimension up to the order of a sum: torch writes both past + tokens and tokens + past."""
    text = dim.value if isinstance(dim, ir.SymbolicDim) else None
    return dim if text is None or "(" in text else sorted(text.split(" + "))
