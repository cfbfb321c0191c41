"""Which dtypes `csr_linear` takes, and what it computes in.

`x` and the values have one dtype, as in `torch.nn.functional.linear`. Two things differ from it:
under autocast `x` takes the dtype of the values rather than both a lower one, and sums of 16-bit
values on the CPU are made in float32, because no sparse product of 16 bits exists there.
"""

import contextlib

import torch
from torch import Tensor

from nfcompile.errors import InputError

__all__ = ["as_values", "is_widened", "without_autocast"]

_HALVES = (torch.float16, torch.bfloat16)


def as_values(x: Tensor, values: Tensor) -> Tensor:
    """`x` in the dtype of the values: cast under autocast, which leaves float64 alone.

    Raises:
        InputError: If the dtypes differ and autocast does not join them.
    """
    pair = {x.dtype, values.dtype}
    if len(pair) == 1:
        return x
    if _autocasts(x) and pair <= {torch.float32, *_HALVES}:
        return x.to(values.dtype)
    raise InputError(
        f"x of csr_linear must have the dtype of its values, {_name(values)}, got {_name(x)}; "
        "cast x or the layer"
    )


def is_widened(values: Tensor) -> bool:
    """Whether the product is made in float32 and cast back."""
    return values.is_cpu and values.dtype in _HALVES


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Keeps autocast, where it is on, from casting the operands of torch's sparse products."""
    if _autocasts(x):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()


def _autocasts(x: Tensor) -> bool:
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
