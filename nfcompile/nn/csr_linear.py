"""The torch operator `nfcompile::csr_linear`: a linear layer that stores only its non-zeros.

With `W` in CSR, e over the stored entries and (row_e, col_e) their places:

    forward    Y = X W^T
    backward   dX = dY W        dvalues[e] = sum_b dY[b, row_e] X[b, col_e]

Memory is proportional to the non-zeros and to X and Y; no dense W is ever made. An operator of
its own, because torch.export keeps it as one node, which the ONNX translation then recognizes.

Tensors of float32 with int32 indices on the CPU are multiplied by our own kernels, all others by
torch's sparse ones. Plain eager calls go to the kernels past the dispatcher, which would cost
more than the arithmetic of a small layer. Other dtypes: `nfcompile.nn.csr_dtypes`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfcompile.errors import InputError
from nfcompile.nn.csr_dtypes import as_values, is_widened, without_autocast
from nfcompile.nn.csr_kernels import (
    as_matrix,
    check_width,
    fits_kernels,
    kernel_backward,
    kernel_forward,
)

__all__ = ["csr_linear"]

with warnings.catch_warnings():  # torch says once per process that its CSR support is beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0], [], [], (0, 1))


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
        x: Activations, `[..., in_features]`, of the dtype of `values`; autocast casts them to it.
        values: Stored entries of the weight, `[nnz]`, floating point.
        indices: Column of each entry, `[nnz]`, int32 or int64, ascending within a row.
        indptr: Where each row begins in `values`, `[out_features + 1]`, same dtype.
        out_features: Rows of the weight.
        in_features: Columns of the weight.

    Returns:
        `[..., out_features]`, of the dtype of `values`.

    Raises:
        InputError: If `x` has another width or dtype, or the arrays are no CSR weight of this
            shape.
    """
    x = as_values(x, values)
    if is_widened(values):
        wide = csr_linear(x.float(), values.float(), indices, indptr, out_features, in_features)
        return wide.to(values.dtype)
    eager = _is_eager(x, values) and fits_kernels(x, values, indices, indptr)
    run: Callable[..., Tensor] = _EagerStep.apply if eager else _operator
    return run(x, values, indices, indptr, out_features, in_features)


@torch.library.custom_op("nfcompile::csr_linear", mutates_args=())
def _operator(
    x: Tensor,
    values: Tensor,
    indices: Tensor,
    indptr: Tensor,
    out_features: int,
    in_features: int,
) -> Tensor:
    if fits_kernels(x, values, indices, indptr):
        return kernel_forward(x, values, indices, indptr, out_features, in_features)
    check_width(x, in_features)
    weight = _csr(values, indices, indptr, (out_features, in_features), check=True)
    with without_autocast(x):
        y = weight @ as_matrix(x).t()
    return y.t().contiguous().view(*x.shape[:-1], out_features)


@_operator.register_fake
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
    if fits_kernels(dy, values, indices, indptr):
        shape = (*dy.shape[:-1], columns)
        dx, _ = kernel_backward(dy, None, values, indices, indptr, shape, (True, False))
        assert dx is not None
        return dx
    weight = _csr(values, indices, indptr, (rows, columns))
    with without_autocast(dy):
        dx = weight.t() @ as_matrix(dy).t()
    return dx.t().contiguous().view(*dy.shape[:-1], columns)


@_dx.register_fake
def _(dy: Tensor, values: Tensor, indices: Tensor, indptr: Tensor, columns: int) -> Tensor:
    return dy.new_empty((*dy.shape[:-1], columns))


@torch.library.custom_op("nfcompile::csr_linear_dvalues", mutates_args=())
def _dvalues(dy: Tensor, x: Tensor, indices: Tensor, indptr: Tensor) -> Tensor:
    if fits_kernels(dy, x, indices, indptr):
        _, dvalues = kernel_backward(dy, x, None, indices, indptr, x.shape, (False, True))
        assert dvalues is not None
        return dvalues
    zeros = dy.new_zeros(indices.shape)
    pattern = _csr(zeros, indices, indptr, (dy.shape[-1], x.shape[-1]))
    dy_rows, x_rows = as_matrix(dy).t().contiguous(), as_matrix(x).contiguous()
    with without_autocast(dy):
        product: Tensor = torch.sparse.sampled_addmm(pattern, dy_rows, x_rows, beta=0.0)
    return product.values().clone()


@_dvalues.register_fake
def _(dy: Tensor, x: Tensor, indices: Tensor, indptr: Tensor) -> Tensor:
    return dy.new_empty(indices.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, values, indices, indptr = ctx.saved_tensors
    needs_dx, needs_dvalues = ctx.needs_input_grad[:2]
    # Gradients are recorded for a second derivative only, which is not defined: the operators
    # say so, the kernels would be taken for constants.
    eager = _is_eager(dy, values) and not torch.is_grad_enabled()
    if eager and fits_kernels(dy, values, indices, indptr):
        needed = needs_dx, needs_dvalues
        grads = kernel_backward(dy, x, values, indices, indptr, x.shape, needed)
        return *grads, None, None, None, None
    dy = dy.contiguous()
    dx = _dx(dy, values, indices, indptr, x.shape[-1]) if needs_dx else None
    dvalues = _dvalues(dy, x, indices, indptr) if needs_dvalues else None
    return dx, dvalues, None, None, None, None


_operator.register_autograd(_backward, setup_context=_save)


class _EagerStep(torch.autograd.Function):
    """The operator without the dispatcher."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        ctx.save_for_backward(*inputs[:4])
        return kernel_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        return _backward(ctx, dy)


def _is_eager(x: Tensor, values: Tensor) -> bool:
    """Whether nothing watches the call that must see the operator: no tracer, mode or transform."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in _PLAIN
        and type(values) in _PLAIN
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._is_tracing()
    )


_PLAIN = (Tensor, torch.nn.Parameter)


def _csr(
    values: Tensor, indices: Tensor, indptr: Tensor, shape: tuple[int, int], check: bool = False
) -> Tensor:
    try:
        return torch.sparse_csr_tensor(indptr, indices, values, shape, check_invariants=check)
    except RuntimeError as error:
        raise InputError(f"csr_linear: {error}") from error
