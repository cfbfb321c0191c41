"""Writes torch's `split` and `chunk` as one ONNX Split.

    SequenceAt(SplitToSequence(X, sizes), i)  ->  output i of Split(X, [sizes])

torch.onnx emits the left side, a sequence of tensors that ONNX Runtime then has to copy, and types
the sequence as a tensor, which no runtime takes.
"""

import onnx_ir as ir

__all__ = ["lower_splits"]


def lower_splits(graph: ir.Graph) -> None:
    """Rewrites every split of a dimension of known length whose parts are taken by constant index.

    Args:
        graph: The main graph; changed in place.
    """
    for node in list(graph):
        if node.op_type != "SplitToSequence" or node.domain != "":
            continue
        takers = [use.node for use in node.outputs[0].uses()]
        indices = [_number(taker.inputs[1]) for taker in takers if taker.op_type == "SequenceAt"]
        sizes = _sizes(node)
        if sizes is None or len(indices) != len(takers) or None in indices:
            continue
        _replace(graph, node, takers, [index or 0 for index in indices], sizes)


def _replace(
    graph: ir.Graph, node: ir.Node, takers: list[ir.Node], indices: list[int], sizes: list[int]
) -> None:
    lengths = ir.node("Constant", [], {"value_ints": sizes})
    split = ir.node(
        "Split",
        [node.inputs[0], lengths.outputs[0]],
        {"axis": node.attributes.get_int("axis", 0)},
        num_outputs=len(sizes),
        name=(node.name or "Split").replace("SplitToSequence", "Split"),
    )
    graph.insert_before(node, [lengths, split])
    for taker, index in zip(takers, indices, strict=True):
        part = split.outputs[index]
        part.type, part.shape = taker.outputs[0].type, taker.outputs[0].shape
        taker.outputs[0].replace_all_uses_with(part, replace_graph_outputs=True)
        graph.remove(taker, safe=True)
    graph.remove(node, safe=True)


def _sizes(node: ir.Node) -> list[int] | None:
    """Lengths of the parts, if they are known."""
    source = node.inputs[0]
    lengths = node.inputs[1] if len(node.inputs) > 1 else None
    if source is None or source.shape is None or lengths is None:
        return None
    given = ir.convenience.get_const_tensor(lengths)
    if given is None:
        return None
    if not node.attributes.get_int("keepdims", 1):
        return None
    total = source.shape[node.attributes.get_int("axis", 0)]
    if given.numpy().ndim:
        return [int(size) for size in given.numpy()]
    size = int(given.numpy())
    if not isinstance(total, int) or size < 1:
        return None
    return [min(size, total - start) for start in range(0, total, size)]


def _number(value: ir.Value | None) -> int | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else int(tensor.numpy().item())
