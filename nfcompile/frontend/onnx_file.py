"""Reads `.onnx` files and models in memory, and checks that they are ones that we can take."""

import os
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from nfcompile.errors import InputError, UnsupportedModelError
from nfcompile.frontend.sparse_constants import has_sparse_constants, put_back, take_out
from nfcompile.ir.external_tensors import check_bytes, check_folder, stored_outside
from nfcompile.ir.foreign_types import has_foreign_types, set_aside_types
from nfcompile.ir.protobuf import read_skeleton
from nfcompile.ir.source import Arrays, Source

__all__ = ["MIN_OPSET", "from_onnx_file", "from_onnx_model", "opset", "read_model"]

MIN_OPSET = 11
"""Oldest version of the standard operators that the passes know."""

_SMALL = 1 << 16
_FIRST_IR_WITH_CONSTANTS = 4
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
    model = read_model(path)
    notes = _with_constants(model)
    return Source(path.name, model, example_inputs, path=path.resolve(), notes=notes)


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
    copy = model.clone() if isinstance(model, ir.Model) else _deserialize(model, "the model")
    _load_external(copy)
    notes = _with_constants(copy)
    return Source(model.graph.name or "model", copy, example_inputs, notes=notes)


def _deserialize(proto: onnx.ModelProto, subject: str, folder: Path | None = None) -> ir.Model:
    """The graph of `proto`, which is not changed if it is in memory: without a `folder`."""
    if not proto.HasField("graph") or not proto.opset_import:
        raise UnsupportedModelError(f"{subject} is not an ONNX model: it has no graph or no opset")
    sparse, foreign = has_sparse_constants(proto), has_foreign_types(proto)
    if folder is None and (sparse or foreign):
        proto = _copy(proto)
    tensors = take_out(proto, folder) if sparse else {}
    types = set_aside_types(proto) if foreign else {}
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # onnx-ir raises many kinds on a malformed graph
        raise UnsupportedModelError(
            f"{subject} is not a valid ONNX model: {_root(error)}"
        ) from error
    model.meta.update(types)
    put_back(model, tensors)
    return model


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model that may be changed while the caller's stays as it is."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _root(error: BaseException) -> str:
    """What went wrong at the bottom of a chain of errors, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _with_constants(model: ir.Model) -> tuple[str, ...]:
    """Frees weights from being inputs where the format has no other way to write them.

    Before IR version 4 each initializer had to be an input too. ONNX Runtime takes them as
    constants there and lets nobody replace them.
    """
    if model.ir_version >= _FIRST_IR_WITH_CONSTANTS or opset(model) < MIN_OPSET:
        return ()
    note = (
        f"initializers are constants, as ONNX Runtime takes them in IR version {model.ir_version}"
    )
    common.RemoveInitializersFromInputsPass()(model)
    model.ir_version = _FIRST_IR_WITH_CONSTANTS
    return (note,)


def opset(model: ir.Model) -> int:
    """Version of the standard operators; the oldest that passes know if a model uses none."""
    opsets = model.opset_imports
    return opsets.get("", opsets.get("ai.onnx", MIN_OPSET))


def _load_external(model: ir.Model) -> None:
    """Checks that external data is there, and loads all of it but the large weights."""
    for stored in stored_outside(model):
        check_bytes(stored)
        if not stored.is_weight or stored.tensor.nbytes < _SMALL:
            stored.place(ir.Tensor(stored.tensor.numpy().copy(), name=stored.tensor.name))
