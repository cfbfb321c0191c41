"""Puts a finished model where the user wants it: whole, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx_ir as ir

from nfcompile.errors import InputError
from nfcompile.ir.protobuf import write_model

__all__ = ["check_output", "data_path", "publish", "stage", "staging_folder"]


def data_path(path: Path) -> Path:
    """Where the external data of the model at `path` lies, if it has any."""
    return path.with_name(f"{path.name}.data")


def staging_folder() -> "tempfile.TemporaryDirectory[str]":
    """A temporary folder in which models are run before they are published.

    Raises:
        InputError: If there is none to be had.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="nfcompile-")
    except OSError as error:
        raise InputError(f"no temporary folder: {error.strerror}; set TMPDIR") from error


def stage(model: ir.Model, path: Path) -> None:
    """Writes `model` to `path` in a staging folder.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        write_model(model, path)
    except OSError as error:
        raise InputError(
            f"cannot write to temporary folder {path.parent}: {error.strerror}; set TMPDIR"
        ) from error


def check_output(path: Path, sources: Iterable[Path] = ()) -> None:
    """Checks that a model can be written to `path`, before any work is done.

    Args:
        path: Where the model shall go.
        sources: The files that it is made from.

    Raises:
        InputError: If the folder is missing or read-only, the output is no regular file, or it is
            the input.
    """
    if str(path) == "-":
        raise InputError("output - must be a regular file: name one")
    path = _target(path)
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"output folder {folder} does not exist: create it first")
    if path.is_dir():
        raise InputError(f"output {path} is a folder: name a file")
    if path.exists() and not path.is_file():
        raise InputError(f"output {path} must be a regular file: name one")
    if not os.access(folder, os.W_OK):
        raise InputError(f"output folder {folder} must be writable")
    written = {path.resolve(), data_path(path).resolve()}
    if taken := written & {source.resolve() for source in sources}:
        raise InputError(f"output {path} must differ from the input, got {min(taken)}")


def publish(staged: Path, path: Path) -> None:
    """Copies the model at `staged`, with its external data if any, to `path`.

    Files appear under their final names only when complete; what stood there stays until then. A
    link stays one: its target is written.

    Raises:
        InputError: If they cannot be written.
    """
    folder = None
    try:
        path = _target(path)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        model = folder / path.name
        shutil.copyfile(staged, model)
        if data_path(staged).exists():
            shutil.copyfile(data_path(staged), data_path(model))
            _point_to(model, data_path(path).name)
            data_path(model).replace(data_path(path))
        model.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _target(path: Path) -> Path:
    """The file that is written for `path`: where it leads if it is a link."""
    return path.resolve() if path.is_symlink() else path


def _point_to(model: Path, location: str) -> None:
    """Lets all external data of the file `model` lie at `location`."""
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    model.write_bytes(proto.SerializeToString())
