"""Initialization of sparse layers by the true degrees of their connections.

For independent zero-mean weights, `k_in(j)` the fan-in of output j and `k_out(i)` the fan-out
of input i: `Var y_j = k_in(j) Var(w) Var x`, and backward the same with `k_out`. Hence

    fan_in   Var(w_ji) = gain^2 / k_in(j)                     keeps the signal, exactly
    glorot   Var(w_ji) = gain^2 * 2 / (k_in(j) + k_out(i))    a compromise with the gradient
    dense    Var(w_ji) = gain^2 / in_features                 what a dense layer would take

`glorot` is Glorot and Bengio (AISTATS 2010) with the true degrees. `dense` scales the variance by
the density at every factor, which is how deep sparse networks die; it is here to show that.

What `fan_in` promises is the mean over draws: where all inputs have one second moment, every
output is expected to have exactly the same, through any number of factors. If each factor has
one fan-in and each pair of input and output equally many paths, every entry of the product of a
cascade has variance exactly 1/n, so that cascades between equal widths keep the gradient as
well. A single draw fluctuates about that mean, the more the smaller the fan-in and the width and
the more the factors: 320 factors of radix 2 at width 256 kept 7e-9 of the signal in one draw.
"""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from nfcompile.errors import InputError

__all__ = ["Init", "sparse_normal_"]

Init: TypeAlias = Literal["fan_in", "glorot", "dense"]


@torch.no_grad()
def sparse_normal_(
    values: Tensor,
    indices: Tensor,
    indptr: Tensor,
    in_features: int,
    init: Init = "glorot",
    gain: float = 1.0,
) -> Tensor:
    """Fills the entries of a CSR weight in place.

    Args:
        values: Entries, `[nnz]`.
        indices: Column of each entry, `[nnz]`.
        indptr: Where each row begins, `[out_features + 1]`.
        in_features: Number of columns.
        init: Which variance: `fan_in`, `glorot` or `dense`.
        gain: Factor on the standard deviation; sqrt(2) before a ReLU.

    Returns:
        `values`.

    Raises:
        InputError: If `init` is none of these.
    """
    if init not in get_args(Init):
        raise InputError(f"init must be one of {', '.join(get_args(Init))}, got {init!r}")
    if init == "dense":
        return values.normal_(std=gain * in_features**-0.5)
    k_in = torch.diff(indptr).long()
    degrees = torch.repeat_interleave(k_in, k_in)
    if init == "glorot":
        k_out = torch.bincount(indices.long(), minlength=in_features)
        degrees = (degrees + k_out[indices.long()]) / 2
    return values.normal_().mul_(gain * degrees.to(values.dtype).rsqrt())
