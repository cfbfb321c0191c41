"""Weights from a checkpoint into a module.

Sparse tensors, and weights that compressed-tensors stored by a bitmask, become sparse parameters of
plain linear layers, which the compiler takes by their non-zeros; in other layers they become dense.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nfcompile.errors import InputError
from nfcompile.frontend.checkpoints import load_state
from nfcompile.frontend.torch_sparse import is_sparse, to_dense

__all__ = ["apply_state", "load_weights"]

_SHOWN = 3


def load_weights(module: nn.Module, path: Path, name: str) -> None:
    """Loads the weights in `path` into a module, all of them or none.

    Args:
        module: The module, changed in place.
        path: A `.safetensors` file or a state dict of `torch.save`, the `.index.json` of several,
            or a folder with one of these.
        name: What messages call the module.

    Raises:
        InputError: If there is no such file, or it holds other weights than the module's.
        UnsupportedModelError: If it cannot be read.
        EngineMissingError: If safetensors is needed and not installed.
    """
    apply_state(module, load_state(path), f"{path.name} does not fit {name}")


def apply_state(module: torch.nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Loads a state dict whose names and shapes must be the module's exactly.

    A state saved while `torch.nn.utils.prune` was on has `weight_orig` and `weight_mask` where
    a fresh module has `weight`: there their product is loaded. Of tensors that share their values
    one is enough.

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
    shared = {_place(own[name]) for name in state if name in own}
    if missing := [n for n, item in own.items() if n not in state and _place(item) not in shared]:
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
    sparse = [name for name in state if is_sparse(state[name]) or is_sparse(own[name])]
    dense = {name: tensor for name, tensor in state.items() if name not in sparse}
    try:
        module.load_state_dict(dense, strict=False)  # names were compared above
    except RuntimeError as error:  # a module's own objection, such as to other connections
        detail = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise InputError(f"{complaint}: {detail or error}") from error
    times = Counter(map(_place, own.values()))
    for name in sparse:
        _put(module, name, state[name], tied=times[_place(own[name])] > 1)


def _place(tensor: Tensor) -> object:
    """What is the same for tensors that share their values."""
    return id(tensor) if is_sparse(tensor) else (tensor.data_ptr(), tensor.shape)


def _put(module: nn.Module, name: str, tensor: Tensor, *, tied: bool) -> None:
    """Puts a tensor into a module, where it is sparse or what is there."""
    prefix, _, leaf = name.rpartition(".")
    part = module.get_submodule(prefix)
    old = getattr(part, leaf)
    if is_sparse(old) or (type(part) is nn.Linear and leaf == "weight" and not tied):
        new = tensor.to(old.dtype)
        is_parameter = isinstance(old, nn.Parameter)
        setattr(part, leaf, nn.Parameter(new, requires_grad=False) if is_parameter else new)
        return
    with torch.no_grad():
        old.copy_(to_dense(tensor, name))


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
