"""The torch operator `nfcompile::csr_linear`: a linear layer that stores only its non-zeros.

With `W` in CSR, e over the stored entries and (row_e, col_e) their places:

    forward    Y = X W^T
    backward   dX = dY W        dvalues[e] = sum_b dY[b, row_e] X[b, col_e]

Memory is proportional to the non-zeros and to X and Y; no dense W is ever made. An operator of
its own, because torch.export keeps it as one node, which the ONNX translation then recognizes.
"""

import warnings
from typing import Any

import torch
from torch import Tensor

__all__ = ["csr_linear"]

with warnings.catch_warnings():  # torch says once per process that its CSR support is beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0], [], [], (0, 1))


def _csr(values: Tensor, indices: Tensor, indptr: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(indptr, indices, values, shape, check_invariants=False)


@torch.library.custom_op("nfcompile::csr_linear", mutates_args=())
def csr_linear(
    x: Tensor,
    values: Tensor,
    indices: Tensor,
    indptr: Tensor,
    out_features: int,
    in_features: int,
) -> Tensor:
    """Multiplies `x` by the transpose of a CSR weight.

    Args:
        x: Activations, `[..., in_features]`.
        values: Stored entries of the weight, `[nnz]`, of the dtype of `x`.
        indices: Column of each entry, `[nnz]`, int32 or int64.
        indptr: Where each row begins in `values`, `[out_features + 1]`, same dtype.
        out_features: Rows of the weight.
        in_features: Columns of the weight.

    Returns:
        `[..., out_features]`.
    """
    weight = _csr(values, indices, indptr, (out_features, in_features))
    y = weight @ x.reshape(-1, in_features).t()
    return y.t().contiguous().view(*x.shape[:-1], out_features)


@csr_linear.register_fake
def _(
    x: Tensor,
    values: Tensor,
    indices: Tensor,
    indptr: Tensor,
    out_features: int,
    in_features: int,
) -> Tensor:
    return x.new_empty((*x.shape[:-1], out_features))


@torch.library.custom_op("nfcompile::csr_linear_dx", mutates_args=())
def _dx(dy: Tensor, values: Tensor, indices: Tensor, indptr: Tensor, columns: int) -> Tensor:
    rows = dy.shape[-1]
    weight = _csr(values, indices, indptr, (rows, columns))
    dx = weight.t() @ dy.reshape(-1, rows).t()
    return dx.t().contiguous().view(*dy.shape[:-1], columns)


@_dx.register_fake
def _(dy: Tensor, values: Tensor, indices: Tensor, indptr: Tensor, columns: int) -> Tensor:
    return dy.new_empty((*dy.shape[:-1], columns))


@torch.library.custom_op("nfcompile::csr_linear_dvalues", mutates_args=())
def _dvalues(dy: Tensor, x: Tensor, indices: Tensor, indptr: Tensor) -> Tensor:
    rows, columns = dy.shape[-1], x.shape[-1]
    pattern = _csr(dy.new_zeros(indices.shape), indices, indptr, (rows, columns))
    dy_rows = dy.reshape(-1, rows).t().contiguous()
    x_rows = x.reshape(-1, columns).contiguous()
    product: Tensor = torch.sparse.sampled_addmm(pattern, dy_rows, x_rows, beta=0.0)
    return product.values().clone()


@_dvalues.register_fake
def _(dy: Tensor, x: Tensor, indices: Tensor, indptr: Tensor) -> Tensor:
    return dy.new_empty(indices.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, values, indices, indptr = ctx.saved_tensors
    dy = dy.contiguous()
    dx = _dx(dy, values, indices, indptr, x.shape[-1]) if ctx.needs_input_grad[0] else None
    dvalues = _dvalues(dy, x, indices, indptr) if ctx.needs_input_grad[1] else None
    return dx, dvalues, None, None, None, None


csr_linear.register_autograd(_backward, setup_context=_save)
