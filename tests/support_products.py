"""Products of exact numbers, against float64, at places off any alignment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nfcompile import _native

Floats = NDArray[np.float32]

RNG = np.random.default_rng(0)


def half(*shape: int) -> Floats:
    """Random numbers of 8 bits, which bf16 holds: then only sums are rounded, in fp32."""
    bits = RNG.standard_normal(shape).astype(np.float32).view(np.uint32) + 0x8000
    return (bits & 0xFFFF0000).view(np.float32)


def check_product(
    product: _native.Product, weight: Floats, batch: int, *, summands: bool = False, **how: Any
) -> None:
    """`summands`: with a bias and a residual, too. `how`: form and threads of the run."""
    out, in_ = weight.shape
    x = np.empty(batch * in_ + 1, np.float32)[1:].reshape(batch, in_)
    x[:] = half(batch, in_)
    memory = np.full(batch * out + 40, np.nan, np.float32)
    y = memory[17 : 17 + batch * out].reshape(batch, out)
    exact = x.astype(np.float64) @ weight.astype(np.float64).T
    magnitude = np.abs(x).astype(np.float64) @ np.abs(weight).astype(np.float64).T
    if summands:
        how |= {"bias": half(out), "residual": half(batch, out)}
        for summand in (how["bias"], how["residual"]):
            exact, magnitude = exact + summand, magnitude + np.abs(summand)
    product.run(x, y, **how)
    assert np.all(np.abs(y - exact) <= 2e-6 * magnitude + 1e-30), batch
    guards = np.concatenate([memory[:17], memory[17 + batch * out :]])
    assert np.isnan(guards).all(), "wrote outside of y"
