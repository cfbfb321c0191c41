"""What happens to a sum before it is stored, the same for every kernel.

t = sum + bias; t = t + residual (mode 1); t = activation(t); y = t + residual (mode 2) or
t * residual (mode 3)

As csrc/kernels/epilogue.h has it, NaN and infinities included. Activations are numbered by
their place in `nfcompile.ir.product_schemas.ACTIVATIONS`.
"""

import triton
import triton.language as tl

__all__ = ["activate", "finish"]

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
def _activate_by_exp(t: tl.tensor, activation: tl.tensor, alpha: tl.tensor) -> tl.tensor:
    """The activations that need e = exp(-u), and all but ELU s = 1 / (1 + e).

    silu = t s at u = t; gelu_tanh = t s at u = 2 v, as (1 + tanh(v)) / 2 = s;
    gelu = t s at u = log(P / (1 - P)) with P the normal distribution: t times a polynomial in t^2
    that a linear program fitted so that t s is off by at most 6.7e-8 before rounding;
    tanh = 2 s - 1 at u = 2 t, near zero the series of `tanhf` in the Cephes library.
    """
    z = t * t
    u = t
    if activation == _GELU:
        p = (3.61121529e-9 * z - 2.66891944e-7) * z + 7.93820271e-6
        p = ((p * z - 1.10480175e-4) * z - 6.62606063e-5) * z + 7.26685683e-2
        u = t * (p * z + 1.59576843)
    elif activation == _GELU_TANH:
        u = t * (1.59576912 + 0.0713548163 * z)
    elif activation == _TANH:
        u = 2.0 * t
    elif activation == _ELU:
        u = -t
    e = tl.exp(-u)
    if activation == _ELU:
        t = tl.where(t < 0.0, alpha * (e - 1.0), t)
    else:
        s = 1.0 / (1.0 + e)
        if activation == _SIGMOID:
            t = s
        elif activation == _TANH:
            p = (-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2
            p = (p * z + 1.33314422036e-1) * z - 3.33332819422e-1
            t = tl.where(z < 0.625 * 0.625, p * z * t + t, 2.0 * s - 1.0)
        else:
            t = t * s
    return t


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
    elif activation >= _GELU:
        t = _activate_by_exp(t, activation, alpha)
    return t


@triton.jit
def finish(
    t: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    y: tl.tensor,
    outputs: tl.tensor,
    known: tl.tensor,
    places: tl.tensor,
    inside: tl.tensor,
    activation: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    has_bias: tl.tensor,
    residual_mode: tl.tensor,
) -> None:
    """Turns sums into outputs and stores them.

    Args:
        t: The sums, fp32.
        bias: Pointer to (out,); not read unless has_bias.
        residual: Pointer to (batch, out); not read where residual_mode is 0.
        y: Pointer to (batch, out), of the type of x, as bias and residual are.
        outputs: Columns of y, broadcast against t.
        known: Which of them exist, broadcast against outputs.
        places: Offsets into y and residual, int64, shape of t.
        inside: Which of them exist, broadcast against t.
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
        t += tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
    t = activate(t, activation, alpha, beta)
    if residual_mode >= 2:
        r = tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
        t = tl.where(residual_mode == 2, t + r, t * r)
    tl.store(y + places, t.to(y.dtype.element_ty), mask=inside)
