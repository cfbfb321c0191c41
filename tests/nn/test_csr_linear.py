"""The operator agrees with a dense linear layer, forward and backward."""

import pytest
import torch
from scipy.sparse import eye_array, random_array
from torch.nn.functional import linear

from nfcompile import _native
from nfcompile.errors import InputError
from nfcompile.nn import SparseLinear, csr_linear

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


HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
def test_a_step_in_16_bits_is_the_one_in_float32_rounded_once(dtype, index):
    values, indices, indptr, _ = weight(9, 7, index=index, dtype=dtype)
    x = torch.randn(5, 7).to(dtype).requires_grad_()
    y = csr_linear(x, values, indices, indptr, 9, 7)
    assert y.dtype == dtype
    dy = torch.randn(5, 9).to(dtype)
    grads = torch.autograd.grad(y, (x, values), dy)
    wide = [t.detach().float().requires_grad_() for t in (x, values)]
    y_wide = csr_linear(*wide, indices, indptr, 9, 7)
    grads_wide = torch.autograd.grad(y_wide, wide, dy.float())
    expected = [t.to(dtype) for t in (y_wide, *grads_wide)]
    torch.testing.assert_close([y, *grads], expected, rtol=0, atol=0)


@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
@pytest.mark.parametrize("autocast", HALVES, ids=str)
def test_under_autocast_x_takes_the_dtype_of_the_values(dtype, index, autocast):
    values, indices, indptr, dense = weight(9, 7, index=index, dtype=torch.float32)
    x = torch.randn(5, 7).to(dtype).requires_grad_()
    with torch.autocast("cpu", autocast):
        y = csr_linear(x, values, indices, indptr, 9, 7)
        dx, dvalues = torch.autograd.grad(y.sum(), (x, values))
    torch.testing.assert_close(y, x.float() @ dense.T)
    torch.testing.assert_close(dx, dense.sum(0).expand(5, 7).to(dtype))
    torch.testing.assert_close(dvalues, x.float().sum(0)[indices.long()])


def test_a_layer_behind_a_dense_one_trains_under_autocast():
    torch.manual_seed(0)
    layer = SparseLinear(16, 16, eye_array(16))
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), layer)
    x = torch.randn(8, 16)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(x).square().sum()
    got = torch.autograd.grad(loss, list(model.parameters()))
    assert all(grad.dtype == torch.float32 for grad in got)
    torch.testing.assert_close(got, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("x", "values"),
    [
        (torch.float64, torch.float32),
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.bfloat16),
        (torch.int64, torch.float32),
    ],
    ids=str,
)
def test_differing_dtypes_are_refused_in_one_line(x, values):
    entries, indices, indptr, _ = weight(6, 5, dtype=values)
    names = [str(dtype).removeprefix("torch.") for dtype in (values, x)]
    with pytest.raises(InputError, match="dtype of its values, {}, got {};".format(*names)) as e:
        csr_linear(torch.ones(2, 5, dtype=x), entries, indices, indptr, 6, 5)
    assert "\n" not in str(e.value)


def test_autocast_does_not_touch_float64():
    values, indices, indptr, dense = weight(6, 5)
    x = torch.randn(2, 5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(csr_linear(x, values, indices, indptr, 6, 5), x @ dense.T)
        with pytest.raises(InputError, match="got float32"):
            csr_linear(x.float(), values, indices, indptr, 6, 5)


@pytest.mark.parametrize(("dtype", "casts"), [(torch.float32, 0), (torch.bfloat16, 3)], ids=str)
def test_an_export_is_one_operator_with_casts_around_it_in_16_bits_only(dtype, casts):
    layer = SparseLinear(16, 16, eye_array(16), False, dtype=dtype)
    x = torch.randn(4, 16).to(dtype)
    exported = torch.export.export(layer, (x,))
    calls = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert calls.count(OPERATOR) == 1
    assert calls.count(torch.ops.aten.to.dtype) == casts
    assert casts or len(calls) == 1
    torch.testing.assert_close(exported.module()(x), layer(x), rtol=0, atol=0)
