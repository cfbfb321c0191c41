"""What happens to a sum before it is stored, the same for every kernel.

t = sum + bias; t = t + residual (mode 1); t = activation(t); y = t + residual (mode 2) or
t * residual (mode 3)

As csrc/kernels/epilogue.h has it, NaN and infinities included. Activations are numbered by
their place in `nfcompile.ir.product_schemas.ACTIVATIONS`.
"""

import triton
import triton.language as tl

__all__ = ["activate", "finish", "finished", "rows_from"]

_RELU = tl.constexpr(1)
_LEAKY_RELU = tl.constexpr(2)
_CLIP = tl.constexpr(3)
_GELU = tl.constexpr(4)
_GELU_TANH = tl.constexpr(5)
_SIGMOID = tl.constexpr(7)
_TANH = tl.constexpr(8)
_HARD_SWISH = tl.constexpr(9)
_ELU = tl.constexpr(10)


@triton.jit
def _at_least(t: tl.tensor, low: tl.tensor) -> tl.tensor:
    return tl.where(t < low, low, t)  # NaN stays


@triton.jit
def _at_most(t: tl.tensor, high: tl.tensor) -> tl.tensor:
    return tl.where(t > high, high, t)


@triton.jit
def _sigmoid(u: tl.tensor) -> tl.tensor:
    return 1.0 / (1.0 + tl.exp(-u))


@triton.jit
def _expm1(t: tl.tensor) -> tl.tensor:
    """exp(t) - 1 for t < 0; near zero, where that cancels, the series."""
    p = ((t * (1.0 / 720.0) + 1.0 / 120.0) * t + 1.0 / 24.0) * t + 1.0 / 6.0
    return tl.where(t > -0.25, ((p * t + 0.5) * t) * t + t, tl.exp(t) - 1.0)


@triton.jit
def _tanh(t: tl.tensor) -> tl.tensor:
    """2 s - 1 with s = sigmoid(2 t), near zero the series of `tanhf` in the Cephes library."""
    z = t * t
    p = (-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2
    p = (p * z + 1.33314422036e-1) * z - 3.33332819422e-1
    return tl.where(z < 0.625 * 0.625, p * z * t + t, 2.0 * _sigmoid(2.0 * t) - 1.0)


@triton.jit
def _gate(t: tl.tensor, activation: tl.tensor) -> tl.tensor:
    """The activations that are t s or s with s = sigmoid(u).

    silu and sigmoid have u = t; gelu_tanh u = 2 v, as (1 + tanh(v)) / 2 = s; gelu
    u = log(P / (1 - P)) with P the normal distribution: t times a polynomial in t^2 that a linear
    program fitted so that t s is off by at most 6.7e-8 before rounding. All are one polynomial
    with coefficients of its own: sums that went through branches would need registers twice.
    """
    gelu = activation == _GELU
    tanh = activation == _GELU_TANH
    z = _at_most(t * t, 1e30)  # infinity times no coefficient would be NaN
    p = tl.where(gelu, 3.61121529e-9, 0.0) * z - tl.where(gelu, 2.66891944e-7, 0.0)
    p = p * z + tl.where(gelu, 7.93820271e-6, 0.0)
    p = p * z - tl.where(gelu, 1.10480175e-4, 0.0)
    p = p * z - tl.where(gelu, 6.62606063e-5, 0.0)
    p = p * z + tl.where(gelu, 7.26685683e-2, tl.where(tanh, 0.0713548163, 0.0))
    p = p * z + tl.where(gelu, 1.59576843, tl.where(tanh, 1.59576912, 1.0))
    return tl.where(activation == _SIGMOID, 1.0, t) * _sigmoid(t * p)


@triton.jit
def activate(t: tl.tensor, activation: tl.tensor, alpha: tl.tensor, beta: tl.tensor) -> tl.tensor:
    """An activation of each element.

    Args:
        t: fp32, any shape.
        activation: Its number, int32.
        alpha: Slope of leaky_relu, scale of elu, lower bound of clip, fp32.
        beta: Upper bound of clip, fp32.
    """
    if (activation == _RELU) | (activation == _CLIP):
        low = tl.where(activation == _CLIP, alpha, 0.0)
        high = tl.where(activation == _CLIP, beta, float("inf"))
        t = _at_most(_at_least(t, low), high)
    elif activation == _LEAKY_RELU:
        t = tl.where(t < 0.0, alpha * t, t)
    elif activation == _HARD_SWISH:
        t = t * _at_most(_at_least(t * (1.0 / 6.0) + 0.5, 0.0), 1.0)
    elif activation == _TANH:
        t = _tanh(t)
    elif activation == _ELU:
        t = tl.where(t < 0.0, alpha * _expm1(t), t)
    elif activation >= _GELU:
        t = _gate(t, activation)
    return t


@triton.jit
def rows_from(pointer: tl.tensor, above: tl.tensor, features: tl.tensor) -> tl.tensor:
    """Where rows begin that have `above` others of `features` elements above them.

    So far offsets take 64 bits; from there on 32 are enough, and take half the registers: the
    library leaves out kernels for so many rows that they are not (`Fits`, `csrc/cuda/pack.cc`).
    """
    return pointer + above.to(tl.int64) * features


@triton.jit
def _beside(
    residual: tl.tensor,
    row: tl.tensor,
    outputs: tl.tensor,
    inside: tl.tensor,
    out_features: tl.tensor,
) -> tl.tensor:
    places = row * out_features + outputs
    return tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def finished(
    t: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    row: tl.tensor,
    outputs: tl.tensor,
    known: tl.tensor,
    inside: tl.tensor,
    out_features: tl.tensor,
    activation: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    has_bias: tl.tensor,
    residual_mode: tl.tensor,
) -> tl.tensor:
    """Turns sums into outputs, fp32.

    Args:
        t: The sums, fp32.
        bias: Pointer to (out,), of the type of x; not read unless has_bias.
        residual: Pointer to the first row of t in (batch, out), of the type of x; not read where
            residual_mode is 0.
        row: Rows of t, from 0, broadcast against t.
        outputs: Columns of y, broadcast against t.
        known: Which of them exist, broadcast against outputs.
        inside: Which elements of t exist, broadcast against it.
        out_features: Number of columns of y.
        activation: See `activate`, with alpha and beta.
        alpha: The same.
        beta: The same.
        has_bias: 0 or 1.
        residual_mode: 0 none, 1 added before the activation, 2 added after it, 3 multiplied
            with what it gives.
    """
    if has_bias != 0:
        t += tl.load(bias + outputs, mask=known, other=0.0).to(tl.float32)
    if residual_mode == 1:
        t += _beside(residual, row, outputs, inside, out_features)
    t = activate(t, activation, alpha, beta)
    if residual_mode >= 2:
        r = _beside(residual, row, outputs, inside, out_features)
        t = tl.where(residual_mode == 2, t + r, t * r)
    return t


@triton.jit
def finish(
    t: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    y: tl.tensor,
    row: tl.tensor,
    outputs: tl.tensor,
    known: tl.tensor,
    inside: tl.tensor,
    out_features: tl.tensor,
    activation: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    has_bias: tl.tensor,
    residual_mode: tl.tensor,
) -> None:
    """Turns sums into outputs, and stores them.

    Args:
        t: The sums, fp32.
        bias: See `finished`, with all that follow and are not named here.
        residual: The same.
        y: Pointer to the first row of t in (batch, out), of the type of x.
        row: See `finished`.
        outputs: The same.
        known: The same.
        inside: The same.
        out_features: The same.
        activation: The same.
        alpha: The same.
        beta: The same.
        has_bias: The same.
        residual_mode: The same.
    """
    t = finished(
        t, bias, residual, row, outputs, known, inside, out_features,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
    tl.store(y + (row * out_features + outputs), t.to(y.dtype.element_ty), mask=inside)
