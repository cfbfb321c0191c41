"""Reads a checkpoint's tensors: safetensors or a state dict of torch, in one file or several."""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nfcompile.errors import EngineMissingError, InputError, UnsupportedModelError
from nfcompile.frontend.bitmasks import decode_bitmasks
from nfcompile.frontend.torch_onnx import first_cause, quiet

__all__ = ["load_state"]

_CHECKPOINTS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
"""What folders of checkpoints have, in the order of preference."""


def load_state(path: Path) -> dict[str, Tensor]:
    """Reads tensors by name; nothing in the files is executed.

    Args:
        path: A file of weights, an index such as `model.safetensors.index.json`, or a folder.

    Raises:
        InputError: If there is no such file.
        UnsupportedModelError: If it holds no state dict.
        EngineMissingError: If safetensors is needed and not installed.
    """
    if path.is_dir():
        path = _in_folder(path)
    if path.name.endswith(".index.json"):
        return decode_bitmasks(_load_shards(path))
    return decode_bitmasks(_load_file(path))


def _in_folder(folder: Path) -> Path:
    for name in _CHECKPOINTS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"folder {folder} has no weights: none of {', '.join(_CHECKPOINTS)}")


def _load_shards(index: Path) -> dict[str, Tensor]:
    """The tensors that an index finds in files beside it."""
    if not index.is_file():
        raise InputError(f"no such file: {index}")
    try:
        where: object = json.loads(index.read_text())["weight_map"]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UnsupportedModelError(f"{index} is no index of weights with a weight_map") from error
    if not isinstance(where, dict) or not all(isinstance(item, str) for item in where.values()):
        raise UnsupportedModelError(f"{index} must map names of weights to files")
    state: dict[str, Tensor] = {}
    for name in sorted(set(where.values())):
        if Path(name).name != name:
            raise UnsupportedModelError(f"{index} must name files beside it, got {name}")
        state.update(_load_file(index.parent / name))
    if lost := [name for name in where if name not in state]:
        raise UnsupportedModelError(f"{index} names weights that its files lack: {lost[0]}")
    return state


def _load_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except (EngineMissingError, MemoryError):
        raise
    except Exception as error:  # zip, pickle and header errors of many kinds
        raise UnsupportedModelError(
            f"{path} holds no weights that load without running code: {first_cause(error)}"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UnsupportedModelError(
            f"{path} must hold a state dict, tensors by name, got {type(state).__name__}"
        )
    return dict(state)


def _read_torch(path: Path) -> object:
    with quiet(), torch.sparse.check_sparse_tensor_invariants(True):  # type: ignore[no-untyped-call]
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise EngineMissingError(
            "reading .safetensors needs safetensors, which is not installed: "
            "pip install safetensors"
        ) from error
    loaded: object = load_file(path)
    return loaded
