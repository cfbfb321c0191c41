"""Products over the windows of images, against torch's convolution in float64."""

from itertools import product as product_of

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nfcompile import _native

ISAS = _native.test_isas()
Floats = NDArray[np.float32]

# (channels, out, images, height, width), kernel, stride, dilation, pads.
CASES = {
    "pointwise, places of one image": ((20, 30, 1, 16, 16), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    "pointwise, odd places": ((5, 19, 3, 7, 9), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    "3x3": ((6, 9, 2, 11, 13), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "wide rows": ((3, 8, 1, 5, 150), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "stride 2": ((4, 17, 2, 15, 70), (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "stride 3, dilation 2, uneven pads": ((2, 5, 3, 19, 23), (2, 4), (3, 3), (2, 2), (0, 3, 2, 1)),
    "strides and pads of their own": ((3, 4, 2, 12, 40), (5, 1), (1, 2), (1, 1), (4, 0, 4, 0)),
    "pads larger than the image": ((2, 3, 1, 2, 3), (5, 5), (1, 1), (1, 1), (4, 4, 4, 4)),
    "strided pointwise": ((8, 16, 1, 14, 14), (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
    "small images": ((7, 33, 21, 7, 7), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "small images, strided": ((5, 60, 9, 14, 15), (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "large images": ((2, 5, 1, 70, 130), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "images too wide for planes": ((2, 5, 1, 20, 530), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "pads wider than the window": ((3, 8, 2, 8, 8), (3, 1), (1, 1), (1, 1), (1, 1, 1, 1)),
    "pads of 3 around 3x3": ((3, 8, 2, 9, 7), (3, 3), (1, 1), (1, 1), (3, 3, 3, 3)),
    "pads, strides of 3": ((3, 8, 2, 5, 4), (3, 1), (1, 3), (1, 1), (1, 3, 1, 3)),
    "stem": ((3, 40, 2, 45, 43), (7, 7), (2, 2), (1, 1), (3, 3, 3, 3)),
    "many panels": ((150, 61, 1, 9, 10), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    "one pixel": ((40, 24, 1, 1, 1), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
}  # fmt: skip


def weight_of(out: int, features: int) -> Floats:
    rng = np.random.default_rng(out)
    mask = rng.random((out, features)) < 0.3
    return np.where(mask, rng.standard_normal((out, features)), 0).astype(np.float32)


def packed(weight: Floats, isa: str, name: str | None = None, precision: str = "float32",
           generate: bool = True) -> _native.Product:  # fmt: skip
    """Packed for the window of a case, or for a product."""
    row, column = np.nonzero(weight)
    starts = np.searchsorted(row, np.arange(len(weight) + 1)).astype(np.int32)
    return _native.pack_csr(
        weight[row, column], column.astype(np.int32), starts, weight.shape[1], isa=isa,
        precision=precision, generate=generate,
        window=None if name is None else CASES[name][1:4],
    )  # fmt: skip


def convolved(x: Floats, weight: Floats, name: str) -> NDArray[np.float64]:
    (channels, out, *_), kernel, stride, dilation, pads = CASES[name]
    top, left, bottom, right = pads
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
    dense = torch.from_numpy(weight).double().reshape(out, channels, *kernel)
    return torch.nn.functional.conv2d(padded, dense, None, stride, 0, dilation).numpy()


def sample(name: str) -> tuple[Floats, Floats]:
    (channels, out, images, height, width), kernel, *_ = CASES[name]
    rng = np.random.default_rng(7)
    x = rng.standard_normal((images, channels, height, width)).astype(np.float32)
    return x, weight_of(out, channels * kernel[0] * kernel[1])


def run(chain: _native.Chain, inputs: list[Floats], y_shape: tuple[int, ...], name: str,
        threads: int = 1) -> Floats:  # fmt: skip
    """The result, written between guards that must stay."""
    _, kernel, stride, dilation, pads = CASES[name]
    size = int(np.prod(y_shape))
    memory = np.full(size + 40, np.nan, np.float32)
    y = memory[17 : 17 + size].reshape(y_shape)
    chain.convolve(
        inputs, y, kernel_shape=[*kernel], strides=[*stride], dilations=[*dilation],
        pads=[*pads], threads=threads,
    )  # fmt: skip
    assert np.isnan(memory[:17]).all() and np.isnan(memory[17 + size :]).all()
    return y


def alone(made: _native.Product, bias: Floats | None = None, residual: bool = False,
          activation: str = "none") -> _native.Chain:  # fmt: skip
    inputs = [made.in_features] + [made.out_features] * residual
    slot = 1 if residual else -1
    return _native.Chain(inputs, [made], [0], [slot], [bias], [activation], [0.0], [0.0], [False])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_windows_agree_with_convolution(name: str, isa: str) -> None:
    x, weight = sample(name)
    expected = convolved(x, weight, name)
    got = run(alone(packed(weight, isa, name)), [x], expected.shape, name)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif("avx512" not in ISAS, reason="generated code needs AVX-512")
@pytest.mark.parametrize(
    ("name", "planes"),
    [("3x3", True), ("stride 2", True), ("stem", True), ("images too wide for planes", False)],
)
def test_code_over_planes_runs_where_there_is_room(name: str, planes: bool) -> None:
    """It adds in another order than windows do, tap by tap: some sums differ in their last bits."""
    x, weight = sample(name)
    shape = convolved(x, weight, name).shape
    code, windows = (
        run(alone(packed(weight, "avx512", name, generate=generate)), [x], shape, name)
        for generate in (True, False)
    )
    assert bool((code != windows).any()) == planes


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_the_epilogue_is_applied_place_by_place(name: str, isa: str) -> None:
    x, weight = sample(name)
    plain = convolved(x, weight, name)
    rng = np.random.default_rng(3)
    bias = rng.standard_normal(len(weight)).astype(np.float32)
    residual = rng.standard_normal(plain.shape).astype(np.float32)
    chain = alone(packed(weight, isa, name), bias, residual=True, activation="relu")
    expected = np.maximum(plain + bias[:, None, None] + residual, 0)
    got = run(chain, [x, residual], expected.shape, name)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", ISAS)
def test_a_chain_over_windows_agrees_with_layer_after_layer(isa: str) -> None:
    name = "3x3"
    x, weight = sample(name)
    first = convolved(x, weight, name)
    second = weight_of(14, len(weight))
    residual = np.random.default_rng(1).standard_normal((2, 14, *first.shape[2:]))
    chain = _native.Chain(
        [weight.shape[1], 14], [packed(weight, isa, name), packed(second, isa)], [0, 2], [-1, 1],
        [None, None], ["relu", "none"], [0.0] * 2, [0.0] * 2, [False] * 2,
    )  # fmt: skip
    residual = residual.astype(np.float32)
    expected = np.einsum("oc,nchw->nohw", second.astype(float), np.maximum(first, 0)) + residual
    got = run(chain, [x, residual], expected.shape, name)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CASES)
def test_windows_in_bfloat16_stay_within_its_rounding(name: str, isa: str) -> None:
    x, weight = sample(name)
    expected = convolved(x, weight, name)
    residual = np.ones(expected.shape, np.float32)
    chain = alone(packed(weight, isa, name, "bfloat16"), residual=True)
    got = run(chain, [x, residual], expected.shape, name) - 1
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert 1e-7 < error < 2e-2


@pytest.mark.parametrize("isa", [isa for isa in ISAS if "emulated" not in isa])
def test_the_number_of_threads_does_not_change_a_bit(isa: str) -> None:
    for name, threads in product_of(("3x3", "wide rows", "pointwise, odd places"), (2, 5)):
        x, weight = sample(name)
        shape = convolved(x, weight, name).shape
        chain = alone(packed(weight, isa, name))
        one = run(chain, [x], shape, name)
        np.testing.assert_array_equal(run(chain, [x], shape, name, threads), one)


def test_images_smaller_than_the_window_are_refused_with_both_sizes() -> None:
    chain = alone(packed(weight_of(3, 2 * 9), "scalar"))
    x, y = np.ones((1, 2, 2, 9), np.float32), np.ones((1, 3, 1, 7), np.float32)
    with pytest.raises(ValueError, match="padded size 2 are smaller than the window, 3"):
        chain.convolve([x], y, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1],
                       pads=[0, 0, 0, 0])  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "message"),
    [({"kernel_shape": [3]}, "kernel_shape must have 2 entries, got 1"),
     ({"strides": [0, 1]}, "strides must be at least 1, got 0"),
     ({"pads": [0, 0, -1, 0]}, "pads must be at least 0, got -1")],
)  # fmt: skip
def test_a_malformed_window_is_refused(broken: dict[str, list[int]], message: str) -> None:
    chain = alone(packed(weight_of(3, 2 * 9), "scalar"))
    x, y = np.ones((1, 2, 5, 5), np.float32), np.ones((1, 3, 3, 3), np.float32)
    window = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
    with pytest.raises(ValueError, match=message):
        chain.convolve([x], y, **{**window, **broken})
