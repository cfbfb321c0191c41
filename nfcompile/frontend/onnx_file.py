"""Reads `.onnx` files and models in memory, and checks that they are ones that we can take."""

import os
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.sparse_constants import has_sparse_constants, put_back, take_out
from nfcompile.ir.external_tensors import check_bytes, check_folder, stored_outside
from nfcompile.ir.protobuf import read_skeleton
from nfcompile.ir.source import Arrays, Source

__all__ = ["MIN_OPSET", "from_onnx_file", "from_onnx_model", "read_model"]

MIN_OPSET = 11
"""Oldest version of the standard operators that the passes know."""

_SMALL = 1 << 16
_OTHERS = (".pt2", ".py", ".pt", ".pth", ".bin", ".safetensors")


def from_onnx_file(path: Path, example_inputs: Arrays | None = None) -> Source:
    """The model in the file at `path`.

    Args:
        path: A `.onnx` file of any size, with external data or without.
        example_inputs: Arrays by input name for verification.

    Raises:
        InputError: If there is no such file or it may not be read.
        UnsupportedModelError: If it is not a model, or one that we cannot take.
    """
    return Source(path.name, read_model(path), example_inputs, path=path.resolve())


def read_model(path: Path) -> ir.Model:
    """Reads a `.onnx` file; its large tensors stay in the file until they are asked for.

    Args:
        path: A `.onnx` file.

    Raises:
        InputError: If there is no such file or it may not be read.
        UnsupportedModelError: If it is not a model, or one that we cannot take.
    """
    if path.suffix in _OTHERS or (":" in path.name and not path.exists()):
        raise InputError(
            f"{path} is no .onnx file, which is all that is taken here: compile it first, "
            f"nfcompile compile {path} -o model.onnx"
        )
    if not path.exists():
        raise InputError(f"no such file: {path}")
    if not path.is_file():
        raise InputError(f"not a file: {path}")
    if not os.access(path, os.R_OK):
        raise InputError(f"no permission to read {path}")
    path = path.resolve()
    model = _deserialize(read_skeleton(path), str(path), path.parent)
    for stored in stored_outside(model):
        stored.tensor.base_dir = path.parent
        check_folder(stored, path.parent)
    _load_external(model)
    return model


def from_onnx_model(
    model: onnx.ModelProto | ir.Model, example_inputs: Arrays | None = None
) -> Source:
    """A model in memory; an `onnx_ir.Model` is copied, so the caller's is not changed.

    Args:
        model: The model.
        example_inputs: Arrays by input name for verification.

    Raises:
        UnsupportedModelError: If it is one that we cannot take.
    """
    subject = "the model"
    if isinstance(model, ir.Model):
        _check_opset(model.opset_imports, subject)
        copy = model.clone()
    else:
        copy = _deserialize(model, subject)
    _load_external(copy)
    return Source(model.graph.name or "model", copy, example_inputs)


def _deserialize(proto: onnx.ModelProto, subject: str, folder: Path | None = None) -> ir.Model:
    if not proto.HasField("graph") or not proto.opset_import:
        raise UnsupportedModelError(f"{subject} is not an ONNX model: it has no graph or no opset")
    _check_opset({entry.domain: entry.version for entry in proto.opset_import}, subject)
    sparse: dict[str, ir.TensorProtocol] = {}
    if has_sparse_constants(proto):
        proto = proto if folder is not None else _copy(proto)  # in memory it is the caller's
        sparse = take_out(proto, folder)
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # onnx-ir raises many kinds on a malformed graph
        raise UnsupportedModelError(
            f"{subject} is not a valid ONNX model: {str(error).splitlines()[0]}"
        ) from error
    if sparse:
        put_back(model, sparse)
    return model


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model that may be changed while the caller's stays as it is."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _check_opset(opsets: Mapping[str, int], subject: str) -> None:
    version = opsets.get("", opsets.get("ai.onnx", MIN_OPSET))
    if version < MIN_OPSET:
        raise UnsupportedModelError(
            f"{subject} uses opset {version}, the oldest we take is {MIN_OPSET}: "
            "convert it with onnx.version_converter"
        )


def _load_external(model: ir.Model) -> None:
    """Checks that external data is there, and loads all of it but the large weights."""
    for stored in stored_outside(model):
        check_bytes(stored)
        if not stored.is_weight or stored.tensor.nbytes < _SMALL:
            stored.place(ir.Tensor(stored.tensor.numpy().copy(), name=stored.tensor.name))
