"""The operator agrees with a dense linear layer, forward and backward."""

import pytest
import torch
from scipy.sparse import random_array

from nfcompile.nn import csr_linear


def weight(rows, columns, density=0.3, index=torch.int32):
    w = random_array((rows, columns), density=density, format="csr", rng=0)
    values = torch.from_numpy(w.data).requires_grad_()
    dense = torch.from_numpy(w.toarray())
    return (
        values,
        torch.tensor(w.indices, dtype=index),
        torch.tensor(w.indptr, dtype=index),
        dense,
    )


SHAPES = [(7,), (1, 7), (5, 7), (2, 3, 7), (0, 7), (2, 0, 3, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_forward_is_that_of_the_dense_weight(shape, index):
    values, indices, indptr, dense = weight(9, 7, index=index)
    x = torch.randn(shape, dtype=torch.float64)
    y = csr_linear(x, values, indices, indptr, 9, 7)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, dense))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_dense_weight_at_its_entries(shape):
    values, indices, indptr, dense = weight(9, 7)
    dense.requires_grad_()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    x_dense = x.detach().clone().requires_grad_()
    scale = torch.randn(9, dtype=torch.float64)
    (csr_linear(x, values, indices, indptr, 9, 7) * scale).sum().backward()
    (torch.nn.functional.linear(x_dense, dense) * scale).sum().backward()
    torch.testing.assert_close(x.grad, x_dense.grad)
    torch.testing.assert_close(values.grad, dense.grad[dense != 0])


def test_gradcheck_in_float64():
    values, indices, indptr, _ = weight(6, 5)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, values: csr_linear(x, values, indices, indptr, 6, 5), (x, values)
    )


def test_the_operator_keeps_the_contract_of_torch_library():
    values, indices, indptr, _ = weight(6, 5)
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(csr_linear, (x, values, indices, indptr, 6, 5))


def test_rows_columns_and_weights_without_entries_are_zero():
    indptr = torch.zeros(4, dtype=torch.int32)
    indices = torch.zeros(0, dtype=torch.int32)
    values = torch.zeros(0, requires_grad=True)
    x = torch.randn(2, 5, requires_grad=True)
    y = csr_linear(x, values, indices, indptr, 3, 5)
    y.sum().backward()
    torch.testing.assert_close(y, torch.zeros(2, 3))
    torch.testing.assert_close(x.grad, torch.zeros(2, 5))
    assert values.grad.shape == (0,)


def test_an_input_of_the_wrong_width_is_refused():
    values, indices, indptr, _ = weight(6, 5)
    with pytest.raises(RuntimeError):
        csr_linear(torch.randn(2, 4, dtype=torch.float64), values, indices, indptr, 6, 5)
