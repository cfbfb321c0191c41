"""What the elements of a model's inputs mean, derived from how its graph uses them.

    Gather(table [rows, width], Cast(x))      x: token ids in [0, rows)
    OneHot(x, depth)                          x: in [0, depth)
    an input called attention_mask            x: 1 … 1 0 … 0 along the last axis

Random integers that mean nothing to a model make it fail, or make it compute the same everywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from nfcompile.ir.inlining import inline_functions

__all__ = ["Meaning", "input_meanings"]

Limit = int | str


@dataclass(frozen=True)
class Meaning:
    """What an input holds.

    Attributes:
        kind: `number`; `mask`; `position` along the last axis; `shape`, which a Reshape takes;
            `axes`; or `full`, the whole range of an 8-bit type.
        low: Least integer.
        limits: Each an exclusive upper limit: a number, or the name of a dimension of the inputs.
    """

    kind: str = "number"
    low: int = 0
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class _Use:
    """An operand of a node that an input, less `shift`, reaches unchanged."""

    node: ir.Node
    operand: int
    shift: int = 0


_PASSING = {
    "Cast": (0,), "Concat": range(64), "Expand": (0,), "Flatten": (0,), "Gather": (0,),
    "Identity": (0,), "Reshape": (0,), "Slice": (0,), "Split": (0,), "Squeeze": (0,),
    "Tile": (0,), "Transpose": (0,), "Unsqueeze": (0,), "Where": (1, 2),
}  # fmt: skip
"""Operators that hand on the elements of these operands."""

_NUMBERS = {
    ("BlackmanWindow", 0): (4, 9), ("HammingWindow", 0): (4, 9), ("HannWindow", 0): (4, 9),
    ("ConstantOfShape", 0): (2, 5), ("CumSum", 1): (0, 1), ("Dropout", 2): (0, 1),
    ("Expand", 1): (1, 2), ("Loop", 0): (1, 4), ("Loop", 1): (1, 2), ("OneHot", 1): (3, 6),
    ("Range", 0): (0, 1), ("Range", 1): (4, 9), ("Range", 2): (1, 2), ("Resize", 2): (1, 2),
    ("SequenceAt", 1): (0, 1), ("Slice", 1): (0, 1), ("Slice", 2): (1, 4), ("Slice", 4): (1, 2),
    ("Tile", 1): (1, 3),
}  # fmt: skip
"""Range of operands that are sizes, counts or positions, whatever the model."""

_QUANTIZED = {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLSTM", "MatMulInteger",
              "QLinearConv", "QLinearMatMul"}  # fmt: skip
_EIGHT_BITS = (ir.DataType.UINT8, ir.DataType.INT8)


def input_meanings(model: ir.Model) -> dict[str, Meaning]:
    """The meaning of each input by name; those of which nothing can be derived are left out.

    Args:
        model: Any model; not changed.
    """
    if model.functions:
        model = model.clone()
        inline_functions(model)
    found = {}
    for value in model.graph.inputs:
        if value.is_initializer() or not isinstance(value.type, ir.TensorType):
            continue
        meaning = _meaning(value)
        if meaning is not None:
            found[str(value.name)] = meaning
    return found


def _meaning(value: ir.Value) -> Meaning | None:
    told = [item for use in _uses(value) if (item := _of_use(use, value))]
    kinds = {item.kind for item in told} - {"number"}
    if kinds:
        return Meaning(kinds.pop())
    name = str(value.name).lower()
    along_axis = value.shape is not None and len(value.shape) > 0
    whole = value.dtype is not None and value.dtype.is_integer()
    kind = "position" if along_axis and whole and "position" in name else "number"
    if told:
        limits = tuple(limit for item in told for limit in item.limits)
        return Meaning(kind, max(item.low for item in told), limits)
    if along_axis and "mask" in name:
        return Meaning("mask")
    return Meaning(kind) if kind == "position" else None


def _uses(value: ir.Value) -> Iterator[_Use]:
    """The operands that the elements of `value` reach, subgraphs included."""
    pending, seen = [(value, 0)], {value}
    while pending:
        item, shift = pending.pop()
        for node, operand in item.uses():
            yield _Use(node, operand, shift)
            further = _shift(node, operand)
            if further is None:
                continue
            for output in node.outputs:
                if output not in seen:
                    seen.add(output)
                    pending.append((output, shift + further))


def _shift(node: ir.Node, operand: int) -> int | None:
    """What `node` adds to the elements of an operand that it hands on; None if it does not."""
    if node.domain != "":
        return None
    if operand in _PASSING.get(node.op_type, ()):
        return 0
    if node.op_type not in ("Add", "Sub") or len(node.inputs) != 2:
        return None
    number = _scalar(node.inputs[1 - operand])
    if number is None or (node.op_type == "Sub" and operand == 1):
        return None
    return number if node.op_type == "Add" else -number


def _of_use(use: _Use, value: ir.Value) -> Meaning | None:
    """What one use tells of the elements of an input."""
    node, operand = use.node, use.operand
    key = (node.op_type, operand)
    if key in _INDICES:
        limits = _INDICES[key](node)
        shifted = (item - use.shift if isinstance(item, int) else item for item in limits)
        return Meaning("number", max(0, -use.shift), tuple(shifted)) if limits else None
    if node.domain != "":
        return None
    if key == ("TopK", 1):
        return Meaning("number", 1, _past_largest_k(node))
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        return Meaning("number", low, (high,))
    if key == ("Reshape", 1):
        return Meaning("shape")
    if operand == 1 and (node.op_type.startswith("Reduce") or node.op_type == "Unsqueeze"):
        return Meaning("axes")
    if key == ("Slice", 3):
        return Meaning("axes")
    if value.dtype in _EIGHT_BITS and (node.op_type in _QUANTIZED or _widens(node)):
        return Meaning("full")
    return None


def _widens(node: ir.Node) -> bool:
    return (
        node.op_type == "Cast" and ir.DataType(node.attributes.get_int("to", 0)).is_floating_point()
    )


def _indexed(operand: int, axis: int | None = None) -> Callable[[ir.Node], tuple[Limit, ...]]:
    """The length of the axis that is indexed, of an operand of a node; the node's axis if None."""

    def limits(node: ir.Node) -> tuple[Limit, ...]:
        shape = _shape(node.inputs[operand])
        where = node.attributes.get_int("axis", 0) if axis is None else axis
        if shape is None or not -len(shape) <= where < len(shape):
            return ()
        return _known(shape[where])

    return limits


def _indexed_many(node: ir.Node) -> tuple[Limit, ...]:
    """The lengths that the last axis of an index tuple runs over."""
    shape, tuples = _shape(node.inputs[0]), _shape(node.inputs[1])
    if shape is None or tuples is None or not len(tuples) or not isinstance(tuples[-1], int):
        return ()
    batch = node.attributes.get_int("batch_dims", 0)
    return tuple(item for dim in list(shape)[batch : batch + tuples[-1]] for item in _known(dim))


def _depth(node: ir.Node) -> tuple[Limit, ...]:
    depth = _scalar(node.inputs[1])
    return () if depth is None else (depth,)


def _past_largest_k(node: ir.Node) -> tuple[Limit, ...]:
    shape = _shape(node.inputs[0])
    axis = node.attributes.get_int("axis", -1)
    dim = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    return (dim + 1,) if isinstance(dim, int) else (2,)


_INDICES: dict[tuple[str, int], Callable[[ir.Node], tuple[Limit, ...]]] = {
    ("Gather", 1): _indexed(0),
    ("GatherElements", 1): _indexed(0),
    ("ScatterElements", 1): _indexed(0),
    ("GatherND", 1): _indexed_many,
    ("ScatterND", 1): _indexed_many,
    ("OneHot", 0): _depth,
    ("EmbedLayerNormalization", 0): _indexed(2, 0),
    ("EmbedLayerNormalization", 1): _indexed(4, 0),
}
"""Operands that are indices, and what they index."""


def _known(dim: int | ir.SymbolicDim) -> tuple[Limit, ...]:
    if isinstance(dim, int):
        return (dim,)
    return () if dim.value is None else (str(dim.value),)


def _shape(value: ir.Value | None) -> ir.Shape | None:
    """The shape of a value, looked up before conversions that keep it where it is not told."""
    while value is not None and value.shape is None:
        node = value.producer()
        if node is None or node.op_type not in ("Cast", "DequantizeLinear", "Identity"):
            return None
        value = node.inputs[0]
    return None if value is None else value.shape


def _scalar(value: ir.Value | None) -> int | None:
    """The integer that a constant of one element holds."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1 or not tensor.dtype.is_integer():
        return None
    return int(tensor.numpy().item())
