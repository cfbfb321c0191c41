"""The operator agrees with a dense linear layer, forward and backward."""

import pytest
import torch
from scipy.sparse import random_array
from torch.nn.functional import linear

from nfcompile import _native
from nfcompile.errors import InputError
from nfcompile.nn import csr_linear

OPERATOR = torch.ops.nfcompile.csr_linear.default


def weight(rows, columns, density=0.3, index=torch.int32, dtype=torch.float64):
    w = random_array((rows, columns), density=density, format="csr", rng=0)
    return (
        torch.from_numpy(w.data).to(dtype).requires_grad_(),
        torch.tensor(w.indices, dtype=index),
        torch.tensor(w.indptr, dtype=index),
        torch.from_numpy(w.toarray()).to(dtype),
    )


SHAPES = [(7,), (1, 7), (5, 7), (2, 3, 7), (0, 7), (2, 0, 3, 7)]
BATCHES = [(batch, 7) for batch in (8, 9, 17, 64, 65)]
KINDS = [
    pytest.param((torch.float32, torch.int32), id="kernels"),
    pytest.param((torch.float64, torch.int32), id="torch"),
    pytest.param((torch.float64, torch.int64), id="torch-int64"),
    pytest.param((torch.float32, torch.int64), id="torch-float32"),
]


@pytest.mark.parametrize("shape", SHAPES + BATCHES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [csr_linear, OPERATOR], ids=["function", "operator"])
def test_a_step_is_that_of_the_dense_weight_at_its_entries(shape, kind, function):
    dtype, index = kind
    values, indices, indptr, dense = weight(9, 7, index=index, dtype=dtype)
    dense.requires_grad_()
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    x_dense = x.detach().clone().requires_grad_()
    scale = torch.randn(9, dtype=dtype)
    y, y_dense = function(x, values, indices, indptr, 9, 7), linear(x_dense, dense)
    torch.testing.assert_close(y, y_dense)
    (y * scale).sum().backward()
    (y_dense * scale).sum().backward()
    torch.testing.assert_close(x.grad, x_dense.grad)
    torch.testing.assert_close(values.grad, dense.grad[dense != 0])


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (7,)])
def test_the_kernels_agree_with_the_sparse_products_of_torch(shape):
    grads = []
    for index in (torch.int32, torch.int64):
        torch.manual_seed(0)
        values, indices, indptr, _ = weight(9, 7, index=index, dtype=torch.float32)
        x = torch.randn(shape, requires_grad=True)
        y = csr_linear(x, values, indices, indptr, 9, 7)
        grads.append((y, *torch.autograd.grad(y.sin().sum(), (x, values))))
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("needed", [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("function", [csr_linear, OPERATOR], ids=["function", "operator"])
def test_only_the_gradients_that_are_needed_are_made(needed, function):
    values, indices, indptr, dense = weight(9, 7, dtype=torch.float32)
    values = values.detach().requires_grad_(needed[1])
    x = torch.randn(5, 7, requires_grad=needed[0])
    y = function(x, values, indices, indptr, 9, 7)
    assert y.requires_grad == any(needed)
    if y.requires_grad:
        y.sum().backward()
    if needed[0]:
        torch.testing.assert_close(x.grad, dense.sum(0).expand(5, 7))
    if needed[1]:
        torch.testing.assert_close(values.grad, x.sum(0)[indices.long()])
    assert [t.grad is not None for t in (x, values)] == list(needed)


def test_operands_and_gradients_need_not_be_contiguous():
    values, indices, indptr, dense = weight(9, 7, dtype=torch.float32)
    stretched = torch.stack([values, values], 1)[:, 0].detach().requires_grad_()
    x = torch.randn(7, 3, 5).permute(2, 1, 0).requires_grad_()
    y = csr_linear(x, stretched, indices, indptr, 9, 7)
    torch.testing.assert_close(y, linear(x, dense))
    dy = torch.randn(9, 3, 5).permute(2, 1, 0)
    dx, dvalues = torch.autograd.grad(y, (x, stretched), dy)
    torch.testing.assert_close(dx, dy @ dense)
    torch.testing.assert_close(dvalues, torch.einsum("bco,bci->oi", dy, x)[dense != 0])


def test_float32_with_int32_runs_the_kernels_with_and_without_the_dispatcher(monkeypatch):
    calls = []

    def spy(name):
        kernel = getattr(_native, name)

        def run(*args, **kwargs):
            calls.append(name)
            return kernel(*args, **kwargs)

        monkeypatch.setattr(_native, name, run)

    spy("csr_forward")
    spy("csr_backward")
    values, indices, indptr, _ = weight(9, 7, dtype=torch.float32)
    for function in (csr_linear, OPERATOR):
        calls.clear()
        function(torch.randn(5, 7), values, indices, indptr, 9, 7).sum().backward()
        assert calls == ["csr_forward", "csr_backward"]


def test_gradcheck_in_float64():
    values, indices, indptr, _ = weight(6, 5)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, values: csr_linear(x, values, indices, indptr, 6, 5), (x, values)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operator_keeps_the_contract_of_torch_library(dtype):
    values, indices, indptr, _ = weight(6, 5, dtype=dtype)
    x = torch.randn(4, 5, dtype=dtype, requires_grad=True)
    torch.library.opcheck(OPERATOR, (x, values, indices, indptr, 6, 5))


def test_tracers_and_modes_see_the_operator():
    values, indices, indptr, dense = weight(6, 5, dtype=torch.float32)

    def call(x):
        return csr_linear(x, values, indices, indptr, 6, 5)

    x = torch.randn(4, 5)
    traced = torch.fx.experimental.proxy_tensor.make_fx(call)(x)
    assert OPERATOR in {node.target for node in traced.graph.nodes}
    torch.testing.assert_close(traced(2 * x), linear(2 * x, dense))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_second_derivative_is_refused_and_not_taken_for_zero(dtype):
    values, indices, indptr, _ = weight(6, 5, dtype=dtype)
    x = torch.randn(4, 5, dtype=dtype, requires_grad=True)
    y = csr_linear(x, values, indices, indptr, 6, 5).square().sum()
    (dx,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        dx.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_columns_and_weights_without_entries_are_zero(dtype):
    indptr = torch.zeros(4, dtype=torch.int32)
    indices = torch.zeros(0, dtype=torch.int32)
    values = torch.zeros(0, dtype=dtype, requires_grad=True)
    x = torch.randn(2, 5, dtype=dtype, requires_grad=True)
    y = csr_linear(x, values, indices, indptr, 3, 5)
    y.sum().backward()
    torch.testing.assert_close(y, torch.zeros(2, 3, dtype=dtype))
    torch.testing.assert_close(x.grad, torch.zeros(2, 5, dtype=dtype))
    assert values.grad.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 4), (), (5, 4)])
def test_an_input_of_the_wrong_width_is_refused(shape, dtype):
    values, indices, indptr, _ = weight(6, 5, dtype=dtype)
    with pytest.raises(InputError, match="must have 5 features in its last dimension"):
        csr_linear(torch.randn(shape, dtype=dtype), values, indices, indptr, 6, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [5, -1, 10**9])
def test_an_index_out_of_range_is_refused(bad, dtype):
    values, indices, indptr, _ = weight(6, 5, dtype=dtype)
    indices[3] = bad
    with pytest.raises(InputError, match="csr_linear"):
        csr_linear(torch.randn(2, 5, dtype=dtype), values, indices, indptr, 6, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_indptr_that_does_not_fit_is_refused(dtype):
    values, indices, indptr, _ = weight(6, 5, dtype=dtype)
    x = torch.randn(2, 5, dtype=dtype)
    for broken in (indptr[:-1], indptr + 1, indptr.flip(0), indptr * 2):
        with pytest.raises(InputError, match="csr_linear"):
            csr_linear(x, values, indices, broken, 6, 5)
