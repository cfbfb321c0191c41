"""Weights from a file into a module: `.safetensors`, or a state dict that torch saved."""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nfcompile.errors import EngineMissingError, InputError, UnsupportedModelError
from nfcompile.frontend.torch_onnx import first_cause

__all__ = ["apply_state", "load_state", "load_weights"]

_SHOWN = 3


def load_weights(module: torch.nn.Module, path: Path, name: str) -> None:
    """Loads the weights in `path` into a module, all of them or none.

    Args:
        module: The module, changed in place.
        path: A `.safetensors` file or a state dict of `torch.save`.
        name: What messages call the module.

    Raises:
        InputError: If there is no such file, or it holds other weights than the module's.
        UnsupportedModelError: If it cannot be read.
        EngineMissingError: If safetensors is needed and not installed.
    """
    apply_state(module, load_state(path), f"{path.name} does not fit {name}")


def load_state(path: Path) -> dict[str, Tensor]:
    """Reads tensors by name; nothing in the file is executed.

    Raises:
        InputError: If there is no such file.
        UnsupportedModelError: If it holds no state dict.
        EngineMissingError: If safetensors is needed and not installed.
    """
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


def apply_state(module: torch.nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Loads a state dict whose names and shapes must be the module's exactly.

    A state saved while `torch.nn.utils.prune` was on has `weight_orig` and `weight_mask` where
    a fresh module has `weight`: there their product is loaded.

    Args:
        module: The module, changed in place.
        state: Tensors by name.
        complaint: How the message of an error begins.

    Raises:
        InputError: If names or shapes differ, of which it names the first, or if the module
            refuses the state.
    """
    own = module.state_dict()
    state = _without_prune(state, own)
    problems = []
    if missing := [name for name in own if name not in state]:
        problems.append(f"missing {_first(missing)}")
    if unexpected := [name for name in state if name not in own]:
        problems.append(f"unexpected {_first(unexpected)}")
    if shapes := [
        f"{name} must be {_shape(own[name])}, got {_shape(state[name])}"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]:
        problems.append(_first(shapes))
    if problems:
        raise InputError(f"{complaint}: {'; '.join(problems)}")
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:  # a module's own objection, such as to other connections
        detail = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise InputError(f"{complaint}: {detail or error}") from error


def _without_prune(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Multiplies each pruned weight by its mask where the module expects the plain weight."""
    plain = dict(state)
    for name in own:
        original, mask = f"{name}_orig", f"{name}_mask"
        if name not in state and original in state and mask in state:
            plain[name] = plain.pop(original) * plain.pop(mask)
    return plain


def _first(items: Iterable[str]) -> str:
    items = list(items)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
