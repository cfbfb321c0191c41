"""Initialization of sparse layers by the true degrees of their connections.

For independent zero-mean weights, `k_in(j)` the fan-in of output j and `k_out(i)` the fan-out
of input i: `Var y_j = k_in(j) Var(w) Var x`, and backward the same with `k_out`. The compromise
of Glorot and Bengio (AISTATS 2010) with these degrees is

    Var(w_ji) = gain^2 * 2 / (k_in(j) + k_out(i))

A dense initialization would scale the signal's variance by the density at every layer.
"""

import torch
from torch import Tensor

__all__ = ["sparse_glorot_normal_"]


@torch.no_grad()
def sparse_glorot_normal_(
    values: Tensor, indices: Tensor, indptr: Tensor, in_features: int, gain: float = 1.0
) -> Tensor:
    """Fills the entries of a CSR weight in place.

    Args:
        values: Entries, `[nnz]`.
        indices: Column of each entry, `[nnz]`.
        indptr: Where each row begins, `[out_features + 1]`.
        in_features: Number of columns.
        gain: Factor on the standard deviation; sqrt(2) before a ReLU.

    Returns:
        `values`.
    """
    k_in = torch.diff(indptr).long()
    k_out = torch.bincount(indices.long(), minlength=in_features)
    degrees = torch.repeat_interleave(k_in, k_in) + k_out[indices.long()]
    return values.normal_().mul_(gain * (2.0 / degrees.to(values.dtype)).sqrt())
