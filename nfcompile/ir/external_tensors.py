"""The tensors of a model whose bytes lie in files, wherever in the model they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from nfcompile.errors import UnsupportedModelError

__all__ = ["Stored", "check_bytes", "check_folder", "loaded", "release", "stored_outside"]


class Stored(NamedTuple):
    """A tensor whose bytes lie in a file, and where the model has it.

    Attributes:
        tensor: The tensor.
        name: What the user knows it by.
        place: Puts another tensor there.
        is_weight: Whether it is an initializer of the main graph, which may stay in the file.
        is_initializer: Whether it is one of any graph, and no attribute of a node.
    """

    tensor: ir.ExternalTensor
    name: str
    place: Callable[[ir.TensorProtocol], None]
    is_weight: bool = False
    is_initializer: bool = False


def release(tensor: ir.TensorProtocol) -> None:
    """Lets go of the pages of a tensor that is mapped from a file; reading it maps them again."""
    if isinstance(tensor, ir.ExternalTensor):
        with suppress(BufferError):  # another constant is a view of it, such as a folded Transpose
            tensor.release()


def stored_outside(model: ir.Model) -> Iterator[Stored]:
    """Every tensor in external data: in graphs, bodies, functions and attributes of nodes."""
    functions = list(model.functions.values())
    graphs = [model.graph, *model.graph.subgraphs()]
    graphs += [graph for function in functions for graph in function.subgraphs()]
    for graph in graphs:
        for name, value in graph.initializers.items():
            if isinstance(value.const_value, ir.ExternalTensor):
                place = partial(setattr, value, "const_value")
                yield Stored(value.const_value, name, place, graph is model.graph, True)
    for node in (*model.graph.all_nodes(), *(n for item in functions for n in item.all_nodes())):
        yield from _stored_in_attributes(node)


def _stored_in_attributes(node: ir.Node) -> Iterator[Stored]:
    name = node.name or (node.outputs[0].name if node.outputs else None) or node.op_type
    for key, attribute in list(node.attributes.items()):
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.TENSOR:
            tensors = [attribute.as_tensor()]
        elif attribute.type == ir.AttributeType.TENSORS:
            tensors = list(attribute.as_tensors())
        else:
            continue
        for index, tensor in enumerate(tensors):
            if isinstance(tensor, ir.ExternalTensor):
                place = partial(_set_attribute, node, key, index)
                yield Stored(tensor, tensor.name or name, place)


def _set_attribute(node: ir.Node, key: str, index: int, tensor: ir.TensorProtocol) -> None:
    old = node.attributes[key]
    if old.type == ir.AttributeType.TENSOR:
        node.attributes[key] = ir.AttrTensor(key, tensor)
    else:
        tensors = list(old.as_tensors())
        tensors[index] = tensor
        node.attributes[key] = ir.AttrTensors(key, tensors)


def check_folder(stored: Stored, folder: Path) -> None:
    """Raises UnsupportedModelError unless the file lies in `folder`, where links lead too."""
    location = stored.tensor.location
    if not (folder / location).resolve().is_relative_to(folder):
        raise UnsupportedModelError(
            f"external data of {stored.name} must lie in the model's folder {folder}, "
            f"got {location}"
        )


def check_bytes(stored: Stored) -> None:
    """Raises UnsupportedModelError unless the file is there and long enough."""
    tensor, path = stored.tensor, Path(stored.tensor.path).resolve()
    subject = f"external data of {stored.name}"
    if not path.is_file():
        raise UnsupportedModelError(f"{subject} is missing: no file {path}")
    end = (tensor.offset or 0) + tensor.nbytes
    if path.stat().st_size < end or (tensor.length or tensor.nbytes) < tensor.nbytes:
        raise UnsupportedModelError(
            f"{subject} is truncated: {path} must have {end} bytes, has {path.stat().st_size}"
        )


@contextmanager
def loaded(model: ir.Model, *, weights_below: int) -> Iterator[None]:
    """Holds in memory, for a while, what of `model` lies in files and is no large weight.

    Args:
        model: The model; as it was afterwards.
        weights_below: Bytes from which on a weight of the main graph stays in its file.
    """
    stored = [
        item
        for item in stored_outside(model)
        if not item.is_weight or item.tensor.nbytes < weights_below
    ]
    for item in stored:
        item.place(ir.Tensor(item.tensor.numpy().copy(), name=item.tensor.name))
    try:
        yield
    finally:
        for item in stored:
            item.place(item.tensor)
