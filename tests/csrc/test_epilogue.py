"""Bias, residual and activations of every kernel, and what NaN and infinity do."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf, expit

from nfcompile import _native

Doubles = NDArray[np.float64]
ISAS = _native.test_isas()
ALPHA, BETA = -0.6, 1.4

ACTIVATIONS: dict[str, Callable[[Doubles], Doubles]] = {
    "none": lambda t: t,
    "relu": lambda t: np.maximum(t, 0),
    "leaky_relu": lambda t: np.where(t < 0, ALPHA * t, t),
    "clip": lambda t: np.minimum(np.maximum(t, ALPHA), BETA),
    "gelu": lambda t: t / 2 * (1 + erf(t / math.sqrt(2))),
    "gelu_tanh": lambda t: t / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3))),
    "silu": lambda t: t * expit(t),
    "sigmoid": expit,
    "tanh": np.tanh,
    "hard_swish": lambda t: t * np.clip(t / 6 + 0.5, 0, 1),
    "elu": lambda t: np.where(t < 0, ALPHA * np.expm1(np.minimum(t, 0)), t),
}


def identity(features: int, isa: str) -> _native.Product:
    """W = I, so that y is the epilogue of x."""
    index = np.arange(features + 1, dtype=np.int32)
    ones = np.ones(features, np.float32)
    return _native.pack_csr(ones, index[:-1], index, features, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_accurate(isa: str, activation: str) -> None:
    grid = np.concatenate([np.linspace(-12, 12, 4001), np.linspace(-110, 110, 501), [1e-8, -0.0]])
    x = grid.astype(np.float32)[None]
    y = identity(x.size, isa)(
        x, activation=activation, activation_alpha=ALPHA, activation_beta=BETA
    )
    with np.errstate(over="ignore"):
        expected = ACTIVATIONS[activation](x.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


def products(isa: str) -> dict[str, tuple[_native.Product, Doubles]]:
    """A product of each code path that stores outputs, with its dense matrix."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((32, 32)).astype(np.float32)
    full = np.arange(0, 32 * 33, 32, dtype=np.int32)
    csr = _native.pack_csr(
        dense.ravel(), np.tile(np.arange(32, dtype=np.uint8), 32), full, 32, isa=isa
    )
    found = {"csr": (csr, dense.astype(np.float64))}
    for r in (4, 8, 16):
        n = 32 // r
        blocks = dense.reshape(n, r, n, r).transpose(0, 2, 1, 3).reshape(n * n, r, r).copy()
        starts = np.arange(0, n * n + 1, n, dtype=np.int32)
        indices = np.tile(np.arange(n, dtype=np.uint8), n)
        bsr = _native.pack_bsr(blocks, indices, starts, 32, isa=isa)
        found[f"bsr{r}"] = (bsr, dense.astype(np.float64))
    lists = rng.permutation(32).astype(np.int32)
    for b, stride in ((16, 1), (16, 8), (16, 16), (4, 1), (4, 0), (16, 0)):
        r = 32 // b
        values = rng.standard_normal((b, r, r)).astype(np.float32)
        index = lists if stride == 0 else None
        product = _native.pack_block_diagonal(
            values, index, index, 32, 32, row_stride=stride, col_stride=stride, isa=isa
        )
        eye = np.eye(32, dtype=np.float32)
        found[f"block_diagonal{b}/{stride}"] = (product, product(eye).T.astype(np.float64))
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_bias_and_residual_take_their_places(isa: str, mode: int) -> None:
    rng = np.random.default_rng(1)
    bias = rng.standard_normal(32).astype(np.float32)
    for name, (product, dense) in products(isa).items():
        for batch in (1, 3, 9):
            x = rng.standard_normal((batch, 32)).astype(np.float32)
            residual = rng.standard_normal((batch, 32)).astype(np.float32)
            t = x.astype(np.float64) @ dense.T + bias
            expected = np.maximum(t + residual * (mode == 0), 0)
            expected = [expected, expected + residual, expected * residual][mode]
            y = product(
                x,
                bias=bias,
                residual=residual,
                activation="relu",
                residual_mode=mode,
            )
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ["gelu", "silu", "clip"])
def test_every_store_applies_the_activation(isa: str, activation: str) -> None:
    x = np.random.default_rng(2).standard_normal((9, 32)).astype(np.float32)
    for name, (product, dense) in products(isa).items():
        y = product(x, activation=activation, activation_alpha=ALPHA, activation_beta=BETA)
        expected = ACTIVATIONS[activation](x.astype(np.float64) @ dense.T)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [1, 9])
def test_nan_passes_every_activation(isa: str, activation: str, batch: int) -> None:
    x = np.zeros((batch, 20), np.float32)
    x[:, [0, 19]] = np.nan
    y = identity(20, isa)(x, activation=activation, activation_alpha=ALPHA, activation_beta=BETA)
    assert np.isnan(y[:, [0, 19]]).all()
    assert np.isfinite(y[:, 1:19]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_only_rows_that_store_their_column(
    isa: str, batch: int, bad: float
) -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((70, 90)) < 0.1
    row, column = np.nonzero(mask)
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    values = np.ones(len(row), np.float32)
    product = _native.pack_csr(values, column.astype(np.uint8), starts, 90, isa=isa)
    for at in (0, 13, 89):
        x = np.ones((batch, 90), np.float32)
        x[:, at] = bad
        np.testing.assert_array_equal(np.isfinite(product(x)), ~mask[None, :, at].repeat(batch, 0))


@pytest.mark.parametrize("isa", ISAS)
def test_nan_stays_inside_its_block(isa: str) -> None:
    for b, r, stride in ((16, 2, 1), (16, 2, 8), (8, 4, 2), (16, 3, 16), (3, 16, 1)):
        values = np.ones((b, r, r), np.float32)
        product = _native.pack_block_diagonal(
            values, None, None, b * r, b * r, row_stride=stride, col_stride=stride, isa=isa
        )
        block = product(np.eye(b * r, dtype=np.float32)) != 0
        for batch in (1, 5):
            x = np.ones((batch, b * r), np.float32)
            x[:, 1] = np.nan
            np.testing.assert_array_equal(np.isnan(product(x)), block[[1]].repeat(batch, 0))
