"""Modules whose parameters are sparse tensors of torch: COO, CSR, CSC, BSR, BSC, or 2:4.

torch.export and torch.onnx know none of them, so a copy is traced that shares all other tensors: a
plain Linear with a sparse weight is a SparseLinear there, which the compiler takes by its
non-zeros; any other sparse tensor is dense.
"""

import nfcompile.frontend.require_torch  # noqa: F401  isort: skip

import copy
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.sparse import SparseSemiStructuredTensor

from nfcompile.errors import UnsupportedModelError
from nfcompile.frontend.torch_onnx import first_cause
from nfcompile.nn import SparseLinear

__all__ = ["has_sparse_tensors", "is_sparse", "to_csr", "to_dense", "traceable"]


def is_sparse(tensor: Tensor) -> bool:
    """Whether a tensor is stored by its non-zeros."""
    return tensor.layout != torch.strided or isinstance(tensor, SparseSemiStructuredTensor)


def has_sparse_tensors(module: nn.Module) -> bool:
    """Whether a parameter or buffer of the module is sparse."""
    return any(is_sparse(tensor) for tensor in (*module.parameters(), *module.buffers()))


def to_dense(tensor: Tensor, name: str) -> Tensor:
    """An ordinary tensor with the same values.

    Args:
        tensor: Any tensor.
        name: What messages call it.

    Raises:
        UnsupportedModelError: If torch cannot make one here.
    """
    try:
        return tensor.detach().to_dense() if is_sparse(tensor) else tensor
    except Exception as error:  # torch raises many kinds
        raise UnsupportedModelError(
            f"sparse tensor {name} cannot be made dense on {tensor.device}: {first_cause(error)}"
        ) from error


def to_csr(tensor: Tensor, name: str) -> sparse.csr_array:
    """The non-zeros of a sparse matrix of torch, sorted.

    Args:
        tensor: A tensor of two dimensions in a sparse layout, of a type that numpy has.
        name: What messages call it.

    Raises:
        UnsupportedModelError: If its indices are not ones.
    """
    tensor = tensor.detach().cpu()
    try:
        matrix = sparse.csr_array(_SCIPY[tensor.layout](tensor, tuple(tensor.shape)))
        matrix.sum_duplicates()
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedModelError(
            f"sparse tensor {name} is malformed: {first_cause(error)}"
        ) from error
    matrix.eliminate_zeros()
    return matrix


def _by_rows(kind: Any) -> Any:
    return lambda t, shape: _checked(
        kind(_arrays(t.values(), t.col_indices(), t.crow_indices()), shape)
    )


def _by_columns(kind: Any) -> Any:
    return lambda t, shape: _checked(
        kind(_arrays(t.values(), t.row_indices(), t.ccol_indices()), shape)
    )


def _blocks_by_columns(tensor: Tensor, shape: tuple[int, int]) -> Any:
    values, rows, starts = _arrays(tensor.values(), tensor.row_indices(), tensor.ccol_indices())
    return _checked(sparse.bsr_array((values.transpose(0, 2, 1), rows, starts), shape[::-1])).T


def _entries(tensor: Tensor, shape: tuple[int, int]) -> Any:
    values, places = _arrays(tensor._values(), tensor._indices())
    return sparse.coo_array((values, tuple(places)), shape)  # checks its indices itself


def _checked(matrix: Any) -> Any:
    matrix.check_format()
    return matrix


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.numpy() for tensor in tensors)


_SCIPY = {
    torch.sparse_csr: _by_rows(sparse.csr_array),
    torch.sparse_bsr: _by_rows(sparse.bsr_array),
    torch.sparse_csc: _by_columns(sparse.csc_array),
    torch.sparse_bsc: _blocks_by_columns,
    torch.sparse_coo: _entries,
}


def traceable(module: nn.Module, *, by_non_zeros: bool = True) -> nn.Module:
    """A copy of a module that torch can trace; it shares every tensor that is not sparse.

    Args:
        module: Any module; not changed.
        by_non_zeros: Whether plain linear layers keep only their non-zeros; else all is dense.

    Raises:
        UnsupportedModelError: If a sparse tensor is malformed, or the module cannot be copied.
    """
    memo: dict[int, Any] = {}
    for name, part in module.named_modules():
        if by_non_zeros and _fits_sparse_linear(part):
            memo[id(part)] = _sparse_linear(part, f"{name}.weight".lstrip("."))
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        owner = module.get_submodule(name.rpartition(".")[0])
        if not is_sparse(tensor):
            memo[id(tensor)] = tensor
        elif id(owner) not in memo:
            dense = to_dense(tensor, name)
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(dense, requires_grad=False) if is_parameter else dense
    try:
        copied: nn.Module = copy.deepcopy(module, memo)
    except Exception as error:  # whatever the module holds besides tensors
        raise UnsupportedModelError(
            f"{type(module).__name__} has sparse parameters and cannot be copied to be traced: "
            f"{first_cause(error)}"
        ) from error
    return copied


def _fits_sparse_linear(part: nn.Module) -> bool:
    if type(part) is not nn.Linear or part._forward_hooks or part._forward_pre_hooks:
        return False
    return part.weight.layout in _SCIPY and part.weight.dtype == torch.float32


def _sparse_linear(linear: nn.Module, name: str) -> SparseLinear:
    """A layer of the same non-zeros and bias, in the same mode."""
    assert isinstance(linear, nn.Linear)
    return SparseLinear.from_csr(to_csr(linear.weight, name), linear.bias).train(linear.training)
