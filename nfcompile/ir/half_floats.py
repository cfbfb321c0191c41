"""Whether a model computes in floats of 16 bits or fewer, and so only to their accuracy."""

import onnx_ir as ir

__all__ = ["has_half_floats"]


def has_half_floats(model: ir.Model) -> bool:
    """Whether any value or constant of the model is a float narrower than 32 bits."""
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    computed = (value.dtype for node in nodes for value in (*node.inputs, *node.outputs) if value)
    given = (value.dtype for value in (*model.graph.inputs, *model.graph.outputs))
    return any(_is_half(kind) for kinds in (given, computed) for kind in kinds)


def _is_half(kind: ir.DataType | None) -> bool:
    return kind is not None and kind.is_floating_point() and kind.bitwidth <= 16
