"""Reads and writes `.onnx` files without ever holding their large weights in memory.

protobuf parses a message by copying all of it, so reading a model the ordinary way needs twice its
size. Here the file is mapped, the wire format walked one level deep, and each large initializer
becomes an onnx-ir `ExternalTensor` over its bytes inside the `.onnx` file itself. Writing streams
the large tensors, one at a time, behind the small rest.

    field  = varint(number << 3 | wire type) payload
    number: ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.raw_data = 9

Source: protobuf's encoding guide, and field numbers from onnx.proto.
"""

import mmap
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from nfcompile.errors import UnsupportedModelError
from nfcompile.ir.external_tensors import loaded, release
from nfcompile.ir.foreign_types import restore_types

__all__ = ["MAX_PROTOBUF_BYTES", "read_metadata", "read_skeleton", "skeleton", "write_model"]

MAX_PROTOBUF_BYTES = (1 << 31) - (64 << 20)
"""Past this a protobuf message cannot be parsed (2 GiB, less room for the graph): larger models are
written with external data."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LARGE = 1 << 16


class _Field(NamedTuple):
    number: int
    start: int  # of the tag
    payload: int
    end: int


def read_skeleton(path: Path) -> onnx.ModelProto:
    """Parses the model at `path` with each large initializer as external data in that very file.

    Args:
        path: An existing `.onnx` file of any size.

    Raises:
        UnsupportedModelError: If the file is empty, truncated or not an ONNX model.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise UnsupportedModelError(f"{path} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                proto = onnx.ModelProto()
                proto.ParseFromString(_model_skeleton(data, path.name))
                return proto
            except (_WireError, DecodeError) as error:
                raise UnsupportedModelError(
                    f"{path} is not an ONNX model, or is truncated: {error}"
                ) from None


def read_metadata(path: Path) -> dict[str, str]:
    """The entries of the metadata of the model at `path`; none if it is not an ONNX model."""
    try:
        return {item.key: item.value for item in read_skeleton(path).metadata_props}
    except UnsupportedModelError:
        return {}


def write_model(model: ir.Model, path: Path) -> None:
    """Writes `model` to `path`, with external data beside it if it is too large for one file.

    Args:
        model: The model; unchanged afterwards.
        path: File to create. External data goes to `<path>.data`.

    Raises:
        OSError: If it cannot be written.
    """
    tensors = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes >= _LARGE
    }
    with loaded(model, weights_below=_LARGE):
        if sum(tensor.nbytes for tensor in tensors.values()) > MAX_PROTOBUF_BYTES:
            _save_beside(model, tensors, path)
            return
        proto = restore_types(model, skeleton(model, tensors))
    for item in proto.graph.initializer:
        assert item.data_location != onnx.TensorProto.EXTERNAL, "small tensors are read whole"
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    heads = {name: _tensor_head(name, tensor) for name, tensor in tensors.items()}
    size = len(graph)
    for head, tensor in zip(heads.values(), tensors.values(), strict=True):
        payload = len(head) + tensor.nbytes
        size += len(_key(_INITIALIZER, payload)) + payload
    with path.open("wb") as file:
        file.write(proto.SerializeToString())
        file.write(_key(_GRAPH, size))
        file.write(graph)
        for name, tensor in tensors.items():
            file.write(_key(_INITIALIZER, len(heads[name]) + tensor.nbytes))
            file.write(heads[name])
            _write_bytes(tensor, file)


def _save_beside(model: ir.Model, tensors: dict[str, ir.TensorProtocol], path: Path) -> None:
    """Writes `model` to `path` and these initializers of its to `<path>.data`."""
    outside = ir.external_data.convert_tensors_to_external(
        list(tensors.values()), path.parent, f"{path.name}.data"
    )
    try:
        for name, tensor in zip(tensors, outside, strict=True):
            model.graph.initializers[name].const_value = tensor
        path.write_bytes(restore_types(model, ir.to_proto(model)).SerializeToString())
    finally:
        for name, own in tensors.items():
            model.graph.initializers[name].const_value = own


def skeleton(model: ir.Model, without: Collection[str]) -> onnx.ModelProto:
    """The model's proto without these initializers, whose values are not looked at.

    Args:
        model: The model; unchanged afterwards.
        without: Names of initializers of its main graph.
    """
    initializers = model.graph.initializers
    tensors = {name: initializers[name].const_value for name in without}
    try:
        for name, tensor in tensors.items():
            assert tensor is not None
            initializers[name].const_value = ir.ExternalTensor(
                "-", 0, 0, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=name
            )
        proto = ir.to_proto(model)
    finally:
        for name, tensor in tensors.items():
            initializers[name].const_value = tensor
    kept = [item for item in proto.graph.initializer if item.name not in tensors]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto


class _WireError(Exception):
    """The bytes do not follow the wire format."""


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise _WireError(f"bad number at byte {at}")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        tag, payload = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            stop = _varint(data, payload, end)[1]
        elif kind == _BYTES:
            length, payload = _varint(data, payload, end)
            stop = payload + length
        elif kind in (_FIXED64, _FIXED32):
            stop = payload + (8 if kind == _FIXED64 else 4)
        else:
            raise _WireError(f"bad field at byte {at}")
        if number == 0 or stop > end:
            raise _WireError(f"field {number} at byte {at} ends at {stop}, past {end}")
        yield _Field(number, at, payload, stop)
        at = stop


def _model_skeleton(data: mmap.mmap, location: str) -> bytes:
    parts = []
    for field in _fields(data, 0, len(data)):
        if field.number == _GRAPH:
            graph = _graph_skeleton(data, field, location)
            parts += [_key(_GRAPH, len(graph)), graph]
        else:
            parts.append(data[field.start : field.end])
    return b"".join(parts)


def _graph_skeleton(data: mmap.mmap, graph: _Field, location: str) -> bytes:
    parts = []
    for field in _fields(data, graph.payload, graph.end):
        if field.number == _INITIALIZER and field.end - field.payload >= _LARGE:
            tensor = _tensor_skeleton(data, field, location)
            parts += [_key(_INITIALIZER, len(tensor)), tensor]
        else:
            parts.append(data[field.start : field.end])
    return b"".join(parts)


def _tensor_skeleton(data: mmap.mmap, tensor: _Field, location: str) -> bytes:
    fields = list(_fields(data, tensor.payload, tensor.end))
    raw = [field for field in fields if field.number == _RAW_DATA]
    rest = b"".join(data[f.start : f.end] for f in fields if f.number != _RAW_DATA)
    if len(raw) != 1:  # float_data and the like
        return data[tensor.payload : tensor.end]
    proto = onnx.TensorProto.FromString(rest)
    proto.data_location = onnx.TensorProto.EXTERNAL
    length = raw[0].end - raw[0].payload
    for key, value in (("location", location), ("offset", raw[0].payload), ("length", length)):
        proto.external_data.add(key=key, value=str(value))
    return bytes(proto.SerializeToString())


def _key(number: int, length: int) -> bytes:
    """The tag of a length-delimited field, and the length of its payload."""
    encoded = bytearray([number << 3 | _BYTES])
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def _tensor_head(name: str, tensor: ir.TensorProtocol) -> bytes:
    """A TensorProto up to the bytes of its raw_data."""
    head = onnx.TensorProto(
        name=name, data_type=tensor.dtype.value, dims=list(tensor.shape.numpy())
    )
    return bytes(head.SerializeToString() + _key(_RAW_DATA, tensor.nbytes))


def _write_bytes(tensor: ir.TensorProtocol, file: BinaryIO) -> None:
    written = file.write(tensor.tobytes())
    release(tensor)
    if written != tensor.nbytes:
        raise AssertionError(f"{tensor.name} has {written} bytes, not {tensor.nbytes}")
