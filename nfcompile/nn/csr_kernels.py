"""Our native kernels as functions of torch tensors: the products of a step of `csr_linear`.

They share memory with the tensors and run on as many threads as torch has.
"""

import math
from typing import Any

import torch
from torch import Tensor

from nfcompile import _native
from nfcompile.errors import InputError

__all__ = ["as_matrix", "check_width", "fits_kernels", "kernel_backward", "kernel_forward"]


def fits_kernels(x: Tensor, values: Tensor, indices: Tensor, indptr: Tensor) -> bool:
    """Whether the tensors are of the types and on the device that our kernels take."""
    return (
        x.dtype == values.dtype == torch.float32
        and indices.dtype == indptr.dtype == torch.int32
        and (x.is_cpu and values.is_cpu and indices.is_cpu and indptr.is_cpu)
    )


def kernel_forward(
    x: Tensor,
    values: Tensor,
    indices: Tensor,
    indptr: Tensor,
    out_features: int,
    in_features: int,
) -> Tensor:
    """`Y = X W^T`; raises InputError if the shapes or the pattern are wrong."""
    check_width(x, in_features)
    y = x.new_empty((*x.shape[:-1], out_features))
    arrays = (_array(x, 2), _array(values), _array(indices), _array(indptr), _array(y, 2))
    try:
        _native.csr_forward(*arrays, threads=torch.get_num_threads())
    except ValueError as error:
        raise InputError(f"csr_linear: {error}") from error
    return y


def kernel_backward(
    dy: Tensor,
    x: Tensor | None,
    values: Tensor | None,
    indices: Tensor,
    indptr: Tensor,
    x_shape: tuple[int, ...],
    needed: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients as far as they are needed: dX without `x`, dvalues without `values`."""
    dx = dy.new_empty(x_shape) if needed[0] else None
    dvalues = dy.new_empty(indices.shape) if needed[1] else None
    _native.csr_backward(
        _array(dy, 2),
        None if x is None or dvalues is None else _array(x, 2),
        None if values is None or dx is None else _array(values),
        _array(indices),
        _array(indptr),
        None if dx is None else _array(dx, 2),
        None if dvalues is None else _array(dvalues),
        threads=torch.get_num_threads(),
    )
    return dx, dvalues


def _array(tensor: Tensor, rank: int = 1) -> Any:
    """The same memory as numpy shows it, copied only where it is not contiguous."""
    tensor = tensor.detach()
    return (tensor if tensor.dim() == rank else as_matrix(tensor)).contiguous().numpy()


def as_matrix(x: Tensor) -> Tensor:
    """All dimensions but the last as one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def check_width(x: Tensor, in_features: int) -> None:
    """Raises InputError unless the last dimension of `x` is `in_features`."""
    if x.dim() == 0 or x.shape[-1] != in_features:
        raise InputError(
            f"x of csr_linear must have {in_features} features in its last dimension, "
            f"got shape {tuple(x.shape)}"
        )
