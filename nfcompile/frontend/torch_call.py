"""How a torch callable is called: nested arguments on its side, flat arrays on the graph's.

The arguments `(args, kwargs)` flatten to leaves. Those that are tensors are the inputs of the
exported graph, in that order; the others (None, numbers, strings) are constants of the graph.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nfcompile.errors import InputError

__all__ = ["Call", "arguments", "evaluating", "to_numpy", "to_torch"]


@dataclass(frozen=True)
class Call:
    """One way to call a torch callable.

    Attributes:
        leaves: The flat arguments; tensors (of any values) stand for the graph's inputs.
        spec: What nests them into `(args, kwargs)` again.
    """

    leaves: tuple[Any, ...]
    spec: pytree.TreeSpec

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> "Call":
        """The call `f(*args, **kwargs)`."""
        leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
        return cls(tuple(leaves), spec)

    @property
    def tensors(self) -> list[Tensor]:
        """The leaves that are tensors."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]

    @property
    def args_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The nested arguments."""
        nested: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_unflatten(
            list(self.leaves), self.spec
        )
        return nested

    def with_tensors(self, tensors: Sequence[Tensor]) -> "Call":
        """The same call on other tensors."""
        given = iter(tensors)
        leaves = (next(given) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves)
        return Call(tuple(leaves), self.spec)

    def run(self, function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Calls `function` on arrays, without gradients, and returns its tensors flat."""
        pairs = zip(arrays, self.tensors, strict=True)
        call = self.with_tensors([to_torch(array, like.device) for array, like in pairs])
        args, kwargs = call.args_kwargs
        with torch.no_grad():
            outputs = pytree.tree_leaves(function(*args, **kwargs))
        return [to_numpy(output) for output in outputs if isinstance(output, Tensor)]


def arguments(example_inputs: object) -> Call:
    """The call that example inputs describe.

    Args:
        example_inputs: A tensor, a tuple or list of positional arguments, or a mapping of
            keyword arguments; numpy arrays stand for tensors.

    Raises:
        InputError: If there is no tensor in it.
    """
    if isinstance(example_inputs, Mapping):
        call = Call.of((), example_inputs)
    elif isinstance(example_inputs, tuple | list):
        call = Call.of(example_inputs, {})
    else:
        call = Call.of((example_inputs,), {})
    leaves = (to_torch(x) if isinstance(x, np.ndarray) else x for x in call.leaves)
    call = Call(tuple(leaves), call.spec)
    if not call.tensors:
        raise InputError(
            "example inputs must be a tensor, a tuple of positional arguments or a dict of "
            f"keyword arguments, got {type(example_inputs).__name__}"
        )
    return call


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Puts a module into evaluation mode, and each part back into its own mode after."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The tensor's values in host memory, shared where they are there already."""
    tensor = tensor.detach().cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype.is_floating_point and hasattr(ml_dtypes, name):
        bits = torch.int16 if tensor.dtype == torch.bfloat16 else torch.int8
        return tensor.view(bits).numpy().view(getattr(ml_dtypes, name))
    return tensor.numpy()


def to_torch(array: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """A tensor with a copy of the array's values."""
    if hasattr(ml_dtypes, array.dtype.name) and hasattr(torch, array.dtype.name):
        bits = torch.from_numpy(np.array(array).view(f"i{array.dtype.itemsize}"))
        return bits.view(getattr(torch, array.dtype.name)).to(device)
    return torch.from_numpy(np.array(array)).to(device)
