"""SparseLinear stores its non-zeros and behaves like the dense layer that has them."""

import resource

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, random_array

from nfcompile.errors import InputError
from nfcompile.nn import SparseLinear


def pattern(rows=9, columns=7, density=0.3):
    return csr_array(random_array((rows, columns), density=density, rng=1))


def test_the_state_is_values_indices_indptr_and_bias():
    mask = pattern()
    state = SparseLinear(7, 9, mask).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "values": (mask.nnz,),
        "bias": (9,),
        "indices": (mask.nnz,),
        "indptr": (10,),
    }


def test_saved_state_restores_values_and_pattern():
    layer = SparseLinear(7, 9, pattern())
    shifted = csr_array(np.roll(pattern().toarray(), 1, axis=0))
    other = SparseLinear(7, 9, shifted)
    assert not torch.equal(other.to_dense(), layer.to_dense())
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other.to_dense(), layer.to_dense())


def test_the_forward_is_that_of_the_dense_layer():
    layer = SparseLinear(7, 9, pattern())
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 7)
    expected = torch.nn.functional.linear(x, layer.to_dense(), layer.bias)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_from_dense_keeps_exactly_the_non_zeros(bias):
    linear = torch.nn.Linear(7, 9, bias=bias)
    with torch.no_grad():
        linear.weight[torch.rand(9, 7) < 0.6] = 0
        linear.weight[2] = 0
    layer = SparseLinear.from_dense(linear)
    assert layer.nnz == int((linear.weight != 0).sum())
    torch.testing.assert_close(layer.to_dense(), linear.weight.detach(), rtol=0, atol=0)
    x = torch.randn(4, 7)
    torch.testing.assert_close(layer(x), linear(x))


def test_the_pattern_may_come_as_indptr_and_indices():
    mask = pattern()
    by_mask = SparseLinear(7, 9, mask)
    by_arrays = SparseLinear(7, 9, (mask.indptr, mask.indices))
    torch.testing.assert_close(by_arrays.indices, by_mask.indices)
    torch.testing.assert_close(by_arrays.indptr, by_mask.indptr)


def test_unsorted_and_duplicate_entries_and_stored_zeros_are_made_canonical():
    mask = csr_array(
        (np.array([1.0, 1.0, 1.0, 0.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), (2, 3)
    )
    layer = SparseLinear(3, 2, mask)
    assert layer.indices.tolist() == [0, 2]
    assert layer.indptr.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (pattern(7, 9), "mask of a 9x7 weight must have that shape, got 7x9"),
        ((np.zeros(4, np.int64), np.zeros(0, np.int64)), "mask of a 9x7 weight: "),
        ((np.array([0, *[1] * 9]), np.array([7])), "mask of a 9x7 weight: "),
        ((np.array([0, *[1] * 9]), np.array([-1])), "mask of a 9x7 weight: "),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_in_one_line(mask, message):
    with pytest.raises(InputError, match=message) as caught:
        SparseLinear(7, 9, mask)
    assert "\n" not in str(caught.value)


def test_values_are_drawn_with_the_variance_of_their_own_degrees():
    # Row 0 has 4 entries and row 1 one; column 0 has two and the others one.
    mask = csr_array(np.array([[1, 1, 1, 1], [1, 0, 0, 0]]))
    layer = SparseLinear(4, 2, mask, gain=3.0)
    torch.manual_seed(0)
    draws = []
    for _ in range(4000):
        layer.reset_parameters()
        draws.append(layer.values.detach().clone())
    variance = torch.stack(draws).var(0)
    degrees = torch.tensor([4 + 2, 4 + 1, 4 + 1, 4 + 1, 1 + 2])
    torch.testing.assert_close(variance, 9 * 2 / degrees, rtol=0.1, atol=0)


def test_training_reaches_the_dense_target_on_its_pattern():
    torch.manual_seed(0)
    target = SparseLinear(16, 16, pattern(16, 16))
    layer = SparseLinear(16, 16, pattern(16, 16))
    x = torch.randn(64, 16)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(layer(x), target(x).detach())
        loss.backward()
        optimizer.step()
    assert loss < 1e-4


def test_a_layer_of_width_65536_never_becomes_dense():
    n, k = 65536, 32
    columns = (np.arange(n)[:, None] + np.arange(k) * 2048) % n
    mask = (np.arange(0, n * k + 1, k), columns.ravel())
    layer = SparseLinear(n, n, mask)
    assert layer.nnz == n * k
    x = torch.randn(4, n, requires_grad=True)
    y = layer(x)
    y.square().sum().backward()
    row = 12345
    expected = x[:, np.sort(columns[row])] @ layer.values[row * k : (row + 1) * k]
    torch.testing.assert_close(y[:, row], expected, rtol=1e-4, atol=1e-5)
    assert layer.values.grad.shape == (n * k,)
    # A dense weight would take 16 GiB; ru_maxrss is in KiB on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 * 2**20
