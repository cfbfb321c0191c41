"""Initial values have the variance of their connections, and keep signals alive in deep stacks."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, eye_array, kron

from nfcompile.errors import InputError
from nfcompile.nn import SparseCascade, sparse_normal_
from nfcompile.topology import (
    Butterfly,
    Clos,
    Hypercube,
    Monarch,
    ParallelButterfly,
    Pixelfly,
    RadixNet,
    RandomRegular,
    Torus,
)

# Row 0 has four entries, row 1 one, row 2 none; column 0 has two and the others one.
MASK = csr_array(np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]))


COPIES = 4000


def drawn_variance(init, gain):
    """Of each entry over many copies of the mask, side by side in one weight."""
    many = csr_array(kron(eye_array(COPIES), MASK, format="csr"))
    indptr, indices = torch.from_numpy(many.indptr), torch.from_numpy(many.indices)
    torch.manual_seed(0)
    values = sparse_normal_(torch.empty(many.nnz), indices, indptr, 4 * COPIES, init, gain)
    return values.reshape(COPIES, 5).var(0)


@pytest.mark.parametrize(
    ("init", "variances"),
    [
        ("fan_in", [1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 1]),
        ("glorot", [2 / (4 + 2), 2 / (4 + 1), 2 / (4 + 1), 2 / (4 + 1), 2 / (1 + 2)]),
        ("dense", [1 / (4 * COPIES)] * 5),
    ],
)
@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_the_variance_is_that_of_the_true_degrees(init, variances, gain):
    expected = gain**2 * torch.tensor(variances)
    torch.testing.assert_close(drawn_variance(init, gain), expected, rtol=0.12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_values_given_are_filled_in_place_in_their_own_dtype(dtype):
    values = torch.zeros(5, dtype=dtype)
    indptr, indices = torch.from_numpy(MASK.indptr), torch.from_numpy(MASK.indices)
    assert sparse_normal_(values, indices, indptr, 4) is values
    assert values.dtype == dtype
    assert (values != 0).all()


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="one of fan_in, glorot, dense, got 'xavier'"):
        SparseCascade(Butterfly(16, 4), init="xavier")


DEEP = [  # topology, and layers of it: hundreds of factors
    (Butterfly(256, 4), 50),
    (Monarch(256), 100),
    (Clos(256, 16, 16), 70),
    (ParallelButterfly(256, 4, 2, skip=False), 60),
    (RadixNet((4, 4, 16)), 70),
    (RandomRegular(256, 8), 60),
    (Torus(256, 2), 15),
    (Hypercube(256), 30),
]


def exact_variances(layer):
    """Of the values of a layer in double precision: draws over the standard normals behind them."""
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.manual_seed(0)
    normal = torch.empty(layer.nnz, dtype=torch.float64).normal_()
    return (layer.values.detach() / normal).square().numpy()


def expected_squares(topology, init):
    """What the squared effective weight is on average: products of variances, summed over paths."""
    total = 0
    for branch in SparseCascade(topology, bias=False, init=init).double().branches:
        product = eye_array(topology.in_features, format="csr")
        for layer in branch:
            shape = layer.out_features, layer.in_features
            layout = exact_variances(layer), layer.indices.numpy(), layer.indptr.numpy()
            product = csr_array(layout, shape=shape) @ product
        total = total + product
    return total.toarray()


def log_means(squares, layers):
    """Logarithms of every output's and every input's mean square after so many such cascades."""
    logs = []
    for matrix in (squares, squares.T):
        moment, log = np.ones(matrix.shape[1]), 0.0
        for _ in range(layers):
            moment = matrix @ moment
            log += math.log(moment.mean())  # taken out, since 1e-400 is no float
            moment /= moment.mean()
        logs.append(log + np.log(moment))
    return logs


EXACT = [
    Butterfly(256, 2),
    Butterfly(256, 4),
    Monarch(256),
    Clos(256, 16, 16),
    ParallelButterfly(256, 2, 3, skip=False),
    Pixelfly(256, 16),
    RadixNet((4, 4, 16)),
    RandomRegular(256, 2, layers=8),
    RandomRegular(256, 8),
    Torus(256, 2),
    Hypercube(256),
]


@pytest.mark.parametrize("topology", EXACT, ids=str)
def test_the_expected_square_of_signal_and_gradient_is_one_after_240_factors(topology):
    layers = -(-240 // topology.depth)
    signal, gradient = log_means(expected_squares(topology, "fan_in"), layers)
    np.testing.assert_allclose(np.exp(signal), 1, rtol=1e-9)
    np.testing.assert_allclose(np.exp(gradient), 1, rtol=1e-9)


@pytest.mark.parametrize("topology", EXACT, ids=str)
def test_with_dense_initialization_it_is_the_product_of_the_densities(topology):
    layers = -(-240 // topology.depth)
    (masks, *rest) = topology.branches()
    assert all([m.nnz for m in branch] == [m.nnz for m in masks] for branch in rest)
    expected = layers * sum(math.log(mask.nnz / math.prod(mask.shape)) for mask in masks)
    signal, gradient = log_means(expected_squares(topology, "dense"), layers)
    np.testing.assert_allclose(signal, expected, rtol=1e-9)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize("topology", [Butterfly(1024, 32), RandomRegular(1024, 16)], ids=str)
def test_wide_stacks_keep_their_variance_within_a_few_per_cent(topology):
    torch.manual_seed(0)
    moments = []
    for _ in range(6):
        layers = [SparseCascade(topology, bias=False) for _ in range(24 // topology.depth)]
        x = torch.randn(512, 1024, requires_grad=True)
        y = torch.nn.Sequential(*layers)(x)
        y.backward(torch.randn(512, 1024))
        moments.append([y.square().mean().item(), x.grad.square().mean().item()])
    # Between draws each has a standard deviation of 0.04 to 0.055, so their mean one of 0.02.
    np.testing.assert_allclose(np.mean(moments, axis=0), 1, rtol=0.08)


def through(topology, layers, init):
    """Second moments of signal and gradient, in double precision, as dense products."""
    torch.manual_seed(0)
    signal = torch.randn(256, 256, dtype=torch.float64)
    weights = []
    for _ in range(layers):
        cascade = SparseCascade(topology, bias=False, init=init).double()
        weights.append(cascade.to_dense().detach())
        signal = signal @ weights[-1].T
    gradient = torch.randn(256, 256, dtype=torch.float64)
    for weight in reversed(weights):
        gradient = gradient @ weight
    return signal.square().mean().item(), gradient.square().mean().item()


@pytest.mark.parametrize(("topology", "layers"), DEEP, ids=str)
def test_signal_and_gradient_keep_their_variance_through_hundreds_of_factors(topology, layers):
    assert layers * topology.depth >= 180
    forward, backward = through(topology, layers, "fan_in")
    # The mean is one exactly; a single draw wanders from it, the more the smaller the degree (at
    # degree 2 and this width far below). A variance that is wrong by c shows as c^180 and more.
    assert 0.05 < forward < 20
    assert 0.05 < backward < 20


@pytest.mark.parametrize(("topology", "layers"), DEEP[:4], ids=str)
def test_dense_initialization_loses_the_signal(topology, layers):
    few = 1 + layers // 10
    forward, backward = through(topology, few, "dense")
    (masks, *_) = topology.branches()
    lost = few * sum(math.log10(mask.nnz / math.prod(mask.shape)) for mask in masks)
    assert math.log10(forward) == pytest.approx(lost, abs=1.5)
    assert math.log10(backward) == pytest.approx(lost, abs=1.5)
    assert forward < 1e-12


def test_one_cascade_of_a_wide_butterfly_is_lost_to_one_part_in_1e27():
    torch.manual_seed(0)
    x = torch.randn(16, 1024, dtype=torch.float64)
    topology = Butterfly(1024, 2)
    with torch.no_grad():
        kept = SparseCascade(topology, bias=False).double()(x).square().mean().item()
        lost = SparseCascade(topology, bias=False, init="dense").double()(x).square().mean().item()
    assert kept == pytest.approx(1, rel=0.3)
    assert lost == pytest.approx((2 / 1024) ** 10, rel=0.5)
