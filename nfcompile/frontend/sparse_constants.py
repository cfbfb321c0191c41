"""Reads ONNX's sparse constants, which onnx-ir drops: sparse_initializer, sparse_value of Constant.

    SparseTensorProto(values [nnz], indices [nnz] or [nnz, rank], dims)

Before onnx-ir reads the model, an ordinary constant takes the place of each, with its data in a
file that does not exist; afterwards the decoded tensor is put there. The weight of a layer stays
as its non-zeros, in CSR; anything else becomes dense, as ONNX Runtime does it.

Source of the layout: onnx.proto, messages SparseTensorProto and GraphProto.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import scipy.sparse
from onnx import AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.encoded_tensor import EncodedTensor
from nfcompile.ir.external_tensors import Stored, check_bytes, check_folder, stored_outside
from nfcompile.ir.foreign_types import graphs
from nfcompile.ir.linear import Linear, match_linear
from nfcompile.sparse import CsrTensor

__all__ = ["has_sparse_constants", "put_back", "take_out"]

Tensors = Mapping[str, ir.TensorProtocol]

_MAX_DENSE_BYTES = 1 << 34
_SPARSE = (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS)


def has_sparse_constants(proto: onnx.ModelProto) -> bool:
    """Whether anything in the model is a sparse tensor."""
    return any(graph.sparse_initializer for graph in _graphs(proto)) or any(
        attribute.type in _SPARSE for node in _nodes(proto) for attribute in node.attribute
    )


def take_out(proto: onnx.ModelProto, folder: Path | None = None) -> dict[str, ir.TensorProtocol]:
    """Decodes the sparse constants of a model, and leaves ordinary ones in their place.

    Args:
        proto: The model; changed in place.
        folder: Where its external data must lie; None for a model in memory.

    Returns:
        The tensors by the locations that their placeholders name.

    Raises:
        UnsupportedModelError: If one is malformed.
    """
    tensors: dict[str, ir.TensorProtocol] = {}
    for graph in list(_graphs(proto)):
        _hoist(graph)
        for item in graph.sparse_initializer:
            graph.initializer.append(_placeholder(item, item.values.name, tensors, folder))
        graph.ClearField("sparse_initializer")
    for node in _nodes(proto):
        for attribute in node.attribute:
            if attribute.type not in _SPARSE:
                continue
            if (node.op_type, attribute.name) != ("Constant", "sparse_value"):
                raise UnsupportedModelError(
                    f"attribute {attribute.name} of {node.op_type} is a sparse tensor, which is "
                    "taken as sparse_value of Constant only"
                )
            name = node.output[0]
            dense = _placeholder(attribute.sparse_tensor, name, tensors, folder)
            attribute.CopyFrom(onnx.helper.make_attribute("value", dense))
    return tensors


def put_back(model: ir.Model, tensors: Tensors) -> None:
    """Puts decoded tensors where their placeholders are.

    Args:
        model: What onnx-ir made of the model without them; changed in place.
        tensors: What `take_out` gave.
    """
    for stored in stored_outside(model):
        tensor = tensors.get(str(stored.tensor.location))
        if tensor is not None:
            stored.place(tensor if stored.is_initializer else _dense(tensor))
    graphs = [model.graph, *model.graph.subgraphs()]
    graphs += [graph for item in model.functions.values() for graph in item.subgraphs()]
    for graph in graphs:
        for value in graph.initializers.values():
            if isinstance(value.const_value, EncodedTensor):
                value.const_value = _as_used(value, value.const_value)


def _as_used(value: ir.Value, tensor: EncodedTensor) -> ir.TensorProtocol:
    """The CSR of a weight, the way around that all its layers take it, or else the dense tensor."""
    uses = list(value.uses())
    ways = set()
    for node, operand in uses:
        match = match_linear(node) if operand == 1 else None
        passing = node.domain == "" and node.op_type in ("Identity", "Transpose")
        ways.add(match.transposed if isinstance(match, Linear) else None if passing else "dense")
    if value.is_graph_input() or value.is_graph_output() or len(ways) != 1 or "dense" in ways:
        return _dense(tensor)
    if True not in ways:
        return tensor
    assert isinstance(tensor.encoding, CsrTensor)
    return EncodedTensor(tensor.encoding.transposed(), transposed=True, name=tensor.name)


def _dense(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if not isinstance(tensor, EncodedTensor):
        return tensor
    _check_size(str(tensor.name), tensor.nbytes)
    return ir.Tensor(tensor.numpy(), name=tensor.name)


def _check_size(name: str, nbytes: int) -> None:
    if nbytes > _MAX_DENSE_BYTES:
        raise UnsupportedModelError(
            f"sparse constant {name} would take {nbytes >> 30} GiB dense, which is how it is used"
        )


def _hoist(graph: GraphProto) -> None:
    """Makes initializers of the sparse Constant nodes whose results stay inside the graph."""
    outputs = {item.name for item in graph.output}
    for node in [item for item in graph.node if item.op_type == "Constant"]:
        attribute = node.attribute[0] if node.attribute else AttributeProto()
        if attribute.name == "sparse_value" and node.output[0] not in outputs:
            attribute.sparse_tensor.values.name = node.output[0]
            graph.sparse_initializer.append(attribute.sparse_tensor)
            graph.node.remove(node)


def _placeholder(
    item: SparseTensorProto,
    name: str,
    tensors: dict[str, ir.TensorProtocol],
    folder: Path | None,
) -> TensorProto:
    location = f"\0sparse {len(tensors)}"
    tensors[location] = _decode(item, name, folder)
    made = TensorProto(
        name=name,
        data_type=item.values.data_type,
        dims=list(item.dims),
        data_location=TensorProto.EXTERNAL,
    )
    made.external_data.add(key="location", value=location)
    return made


def _decode(item: SparseTensorProto, name: str, folder: Path | None) -> ir.TensorProtocol:
    """The tensor: CSR if it can be the weight of a layer, else dense."""
    dims = tuple(item.dims)
    values, given = (_array(part, name, folder) for part in (item.values, item.indices))
    size = int(np.prod(dims, dtype=object))
    _check(
        name,
        min(dims, default=0) >= 0 and size < 1 << 62,
        f"dimensions must be at least 0 and of a size below 2**62, got {list(dims)}",
    )
    _check(name, values.dtype != object, "values must be numbers, got strings")
    _check(name, values.ndim == 1, f"values must have 1 dimension, got {values.ndim}")
    shapes = [(len(values),), (len(values), len(dims))]
    _check(
        name,
        given.dtype == np.int64 and given.shape in shapes,
        f"indices must be int64 of shape {list(shapes[0])} or {list(shapes[1])}, "
        f"got {given.dtype} {list(given.shape)}",
    )
    tuples = given.reshape(len(values), -1)
    limits = dims if given.ndim == 2 else (size,)
    inside = ((tuples >= 0) & (tuples < np.array(limits))).all()
    _check(name, bool(inside), f"indices must be within the dimensions {list(dims)}")
    at = np.ravel_multi_index(tuple(given.T), dims) if given.ndim == 2 and given.size else given
    at = at.reshape(-1)
    _check(name, len(np.unique(at)) == len(at), "indices must be distinct")
    if len(dims) == 2 and size and values.dtype == np.float32:
        places = np.divmod(at, dims[1])
        csr = CsrTensor.from_scipy(scipy.sparse.csr_array((values, places), shape=dims))
        return EncodedTensor(csr, transposed=False, name=name)
    _check_size(name, size * values.dtype.itemsize)
    dense = np.zeros(size, values.dtype)
    dense[at] = values
    return ir.Tensor(dense.reshape(dims), name=name)


def _array(tensor: TensorProto, name: str, folder: Path | None) -> np.ndarray:
    """The values of a tensor, wherever they are stored."""
    try:
        read = ir.serde.deserialize_tensor(tensor)
        if isinstance(read, ir.ExternalTensor):
            stored = Stored(read, name, lambda _: None, False, False)
            if folder is not None:
                read.base_dir = folder
                check_folder(stored, folder)
            check_bytes(stored)
        return np.array(read.numpy())
    except (TypeError, ValueError) as error:
        raise UnsupportedModelError(
            f"sparse constant {name} cannot be read: {str(error).splitlines()[0]}"
        ) from error


def _check(name: str, holds: bool, rule: str) -> None:
    if not holds:
        raise UnsupportedModelError(f"sparse constant {name} is malformed: {rule}")


def _graphs(proto: onnx.ModelProto) -> Iterator[GraphProto]:
    """The main graph, and all in attributes of nodes, of functions too."""
    yield from graphs(proto.graph)
    for function in proto.functions:
        yield from islice(graphs(function), 1, None)


def _nodes(proto: onnx.ModelProto) -> Iterator[NodeProto]:
    for owner in (proto.graph, *proto.functions):
        for graph in graphs(owner):
            yield from graph.node
