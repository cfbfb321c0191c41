"""Lengths for the dimensions that a model's inputs leave open.

Each name gets a length of its own, so that a mix-up of axes shows. Where a model does not run so,
its dimensions are tied in ways that it does not tell: total = past + current, or all are equal, or
an image must be larger. A dimension that is an expression of others, such as `past + 1`, follows.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import onnx_ir as ir

__all__ = ["Layout", "layouts", "length_of"]

Layout = Callable[[int], dict[str, int]]
"""From the length of the first dimensions to the length of every open one by name."""

_OWN = (5, 11, 13, 9)
_EQUAL = (8, 64, 224, 1)
_MOST_TIED = 4


def layouts(model: ir.Model, length: int | None = None) -> Iterator[Layout]:
    """Ways to choose the open lengths of a model's inputs, the most telling first.

    Args:
        model: Its inputs name their dimensions.
        length: Of all but the first dimensions and those that are sums of others; by default
            each has one of its own.
    """
    batch: dict[str, None] = {}
    others: dict[str, None] = {}
    for value in model.graph.inputs:
        if value.is_initializer() or value.shape is None:
            continue
        for axis, dim in enumerate(value.shape):
            (others if axis else batch).update(dict.fromkeys(_symbols(dim, axis)))
    names = [name for name in others if name not in batch]
    own = {name: length or _OWN[index % len(_OWN)] for index, name in enumerate(names)}
    ways = [own]
    if 1 < len(names) <= _MOST_TIED:
        sums = {name: {**own, name: sum(own.values()) - own[name]} for name in names}
        ways += [sums[name] for name in sorted(names, key=lambda name: "total" not in name)]
    if names and length is None:
        ways += [dict.fromkeys(names, equal) for equal in _EQUAL]
    for way in ways:
        yield partial(_joined, tuple(batch), way)


def _joined(batch: tuple[str, ...], others: Mapping[str, int], size: int) -> dict[str, int]:
    return {**dict.fromkeys(batch, size), **others}


def length_of(dim: int | ir.SymbolicDim, axis: int, lengths: Mapping[str, int]) -> int:
    """The length of a dimension of an input, given those of all names."""
    if isinstance(dim, int):
        return dim
    name = _name(dim, axis)
    if name in lengths:
        return lengths[name]
    length = dim.evaluate(lengths)
    assert isinstance(length, int), f"{dim} has names without a length"
    return max(0, length)


def _symbols(dim: int | ir.SymbolicDim, axis: int) -> list[str]:
    """The names that a dimension depends on: its own, or those in its expression."""
    if isinstance(dim, int):
        return []
    try:
        return sorted(dim.free_symbols()) or [_name(dim, axis)]
    except ValueError:  # no expression, just an odd name
        return [_name(dim, axis)]


def _name(dim: ir.SymbolicDim, axis: int) -> str:
    return f"axis {axis}" if dim.value is None else str(dim.value)
