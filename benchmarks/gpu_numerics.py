"""Every kernel for CUDA against float64: shapes, types, batch sizes, epilogues.

An output may be off by the rounding of its type, by that of fp32 sums, and by that of an
activation:

    |y - exact| <= eps(type) |exact| + 4e-6 sum_i |W[o, i] x[b, i]| + 2e-5 scale

and by the least number of its type, where `exact` is computed from operands that are rounded as
the kernel rounds them.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nfcompile.sparse.block_diagonal import strided_indices

__all__ = ["TYPES", "Check", "check_all", "exact", "round_to", "uncovered"]

Array = np.ndarray

TYPES = (("f32", "f32"), ("f32", "bf16"), ("f16", "f16"), ("bf16", "bf16"))
"""Of activations and of stored values."""

_DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
_EPSILONS = {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
_SUMS = 4e-6
_ACTIVATED = 2e-5
_TINY = {"f32": 1e-30, "f16": 2.0**-24, "bf16": 1e-30}
"""Allowed of any number: the least one of fp16; of the others a hair, to divide by."""
_BATCHES = (1, 8, 16, 17, 64, 65, 130)
_BLOCKS = (16, 32, 64, 128)
_SMALL = (2, 4, 8)
_EPILOGUES: tuple[dict[str, Any], ...] = (
    {},
    {"bias": True, "activation": "relu"},
    {"bias": True, "residual": True, "activation": "gelu"},
    {"residual": True, "activation": "silu", "residual_mode": 1},
    {"residual": True, "activation": "silu", "residual_mode": 2},
    {"bias": True, "activation": "clip", "alpha": -0.5, "beta": 0.75},
    {"activation": "leaky_relu", "alpha": 0.2},
    {"activation": "elu", "alpha": 0.7},
    {"activation": "gelu_tanh"},
    {"activation": "hard_swish"},
    {"activation": "sigmoid"},
    {"activation": "tanh"},
)


@dataclass(frozen=True)
class Check:
    """One kernel on one shape.

    Attributes:
        kernel: Its symbol.
        what: The weight, batch, types and epilogue in words.
        error: The largest error, as a share of what is allowed: at most 1.
        reason: Why it did not run; empty if it did.
    """

    kernel: str
    what: str
    error: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the kernel ran and is right."""
        return not self.reason and self.error <= 1


@dataclass(frozen=True)
class _Weight:
    name: str
    dense: Array
    make: Callable[[Any, str, str], Any]


def round_to(values: Array, kind: str) -> Array:
    """Values rounded to a type, as float64."""
    return values.astype(np.float32).astype(_DTYPES[kind]).astype(np.float64)


def exact(
    x: Array,
    weight: Array,
    types: tuple[str, str],
    bias: Array | None = None,
    residual: Array | None = None,
    **epilogue: Any,
) -> tuple[Array, Array]:
    """The product in float64, and what it may be off by.

    Args:
        x: Activations (batch, in).
        weight: (out, in), rounded already.
        types: Of activations and of stored values.
        bias: (out,), or None.
        residual: (batch, out), or None.
        **epilogue: Activation, its parameters, and what becomes of the residual.
    """  # fmt: skip
    x_type, value_type = types
    rounded = round_to(round_to(x, x_type), value_type)
    sums = rounded @ weight.T
    scale = np.abs(rounded) @ np.abs(weight).T
    for item in (bias, residual):
        scale = scale + (0 if item is None else np.abs(item))
    mode = epilogue.pop("residual_mode", 0)
    total = sums if bias is None else sums + round_to(bias, x_type)
    if residual is not None and mode == 0:
        total = total + round_to(residual, x_type)
    y = _activate(total, **epilogue)
    if residual is not None and mode == 1:
        y = y + round_to(residual, x_type)
    elif residual is not None and mode == 2:
        y, scale = y * round_to(residual, x_type), scale * (1 + np.abs(residual))
    allowed = _EPSILONS[x_type] * np.abs(y) + _SUMS * scale
    return y, allowed + (_ACTIVATED * scale if epilogue.get("activation") else 0) + _TINY[x_type]


def check_all(cuda: Any, batches: Sequence[int] = _BATCHES, seed: int = 0) -> Iterator[Check]:
    """Runs every shape in every type at every batch size, and by every kernel.

    Args:
        cuda: The module `nfcompile._native.cuda`, or one like it.
        batches: Batch sizes.
        seed: Of weights and activations.
    """
    rng = np.random.default_rng(seed)
    turn = 0
    for weight in _weights(rng):
        for types in TYPES:
            try:
                product = weight.make(cuda, types[1], types[0])
            except Exception as error:  # whatever the driver says
                yield Check("", f"{weight.name}, {_named(types)}", math.inf, str(error))
                continue
            rounded = round_to(weight.dense, types[1])
            runs = {(batch, product.kernel(batch)) for batch in batches}
            # So small a weight takes kernels for few rows on a large device: the others by name,
            # each for a tile that is full and one that is not.
            runs |= {(_rows(kernel, batches[-1]) + 1, kernel) for kernel in product.kernels()}
            for batch, kernel in sorted(runs):
                epilogue = dict(_EPILOGUES[turn % len(_EPILOGUES)])
                turn += 1
                yield _check(product, weight.name, rounded, types, batch, kernel, epilogue, rng)


def _rows(kernel: str, otherwise: int) -> int:
    """Rows of the batch that a program computes, as the symbol tells."""
    found = re.search(r"_bm(\d+)", kernel)
    return int(found[1]) if found else otherwise


def uncovered(checks: Sequence[Check], symbols: Sequence[str]) -> list[str]:
    """Those of `symbols` that no check ran."""
    ran = {check.kernel for check in checks}
    return [symbol for symbol in symbols if symbol not in ran]


def _check(
    product: Any, name: str, weight: Array, types: tuple[str, str], batch: int, kernel: str,
    epilogue: dict[str, Any], rng: np.random.Generator,
) -> Check:  # fmt: skip
    out, inside = weight.shape
    given = ", ".join(f"{key} {value}" for key, value in epilogue.items())
    what = f"{name}, batch {batch}, {_named(types)}{', ' * bool(given)}{given}"
    x = rng.standard_normal((batch, inside)).astype(np.float32)
    operands: dict[str, Any] = dict(epilogue)
    for operand, shape in (("bias", (out,)), ("residual", (batch, out))):
        if operands.pop(operand, False):
            operands[operand] = rng.standard_normal(shape).astype(np.float32)
    try:
        got = product.run(x, **operands, kernel=kernel)
    except Exception as error:  # whatever the driver says
        return Check(kernel, what, math.inf, str(error))
    y, allowed = exact(x, weight, types, **operands)
    with np.errstate(invalid="ignore"):
        ratios = np.abs(got.astype(np.float64) - y) / allowed
    error = float(ratios.max()) if np.isfinite(ratios).all() else math.inf
    return Check(kernel, what, error)


def _named(types: tuple[str, str]) -> str:
    return types[0] if types[0] == types[1] else f"{types[0]} with weights in {types[1]}"


def _weights(rng: np.random.Generator) -> Iterator[_Weight]:
    for size in _BLOCKS:
        yield _bsr(rng, size, 5 * size, 7 * size)
    for size in _BLOCKS:
        for col_stride, row_stride in ((16, 16), (1, 16), (16, 1), (8, 8)):
            yield _block_diagonal(rng, size, 16, col_stride, row_stride)
        yield _block_diagonal(rng, size, 6, 1, 1)
    for size in _SMALL:
        for col_stride, row_stride in ((64, 64), (1, 2), (2, 1), (2, 2), (1, 1)):
            yield _block_diagonal(rng, size, 128, col_stride, row_stride)
        yield _block_diagonal(rng, size, 31, 1, 1)
    yield _csr(rng, 70, 300)
    yield _csr(rng, 33, 70_000, density=0.003)
    yield _csr(rng, 5, 17, density=0.0)


def _bsr(rng: np.random.Generator, size: int, out: int, inside: int) -> _Weight:
    mask = rng.random((out // size, inside // size)) < 0.4
    mask[0], mask[1, 0] = False, True
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    values = _values(rng, (len(indices), size, size), mask.sum() * size / len(mask))
    dense = np.zeros((*mask.shape, size, size), np.float32)
    dense[mask] = values
    return _Weight(
        f"bsr {size}x{size} of {out}x{inside}",
        dense.transpose(0, 2, 1, 3).reshape(out, inside),
        lambda cuda, precision, x_type: cuda.BsrProduct(
            values, indices, indptr, inside, precision, x_type
        ),
    )


def _block_diagonal(
    rng: np.random.Generator, size: int, blocks: int, col_stride: int, row_stride: int
) -> _Weight:
    n = size * blocks
    values = _values(rng, (blocks, size, size), size)
    rows, cols = (strided_indices(blocks, size, s) for s in (row_stride, col_stride))
    dense = np.zeros((n, n), np.float32)
    dense[rows[:, :, None], cols[:, None, :]] = values
    return _Weight(
        f"block-diagonal {blocks} of {size}x{size}, strides {col_stride} and {row_stride}",
        dense,
        lambda cuda, precision, x_type: cuda.BlockDiagonalProduct(
            values, None, None, row_stride, col_stride, n, n, precision, x_type
        ),
    )


def _csr(rng: np.random.Generator, out: int, inside: int, density: float = 0.1) -> _Weight:
    mask = rng.random((out, inside)) < density
    mask[out // 2] = False
    dense = (_values(rng, (out, inside), max(density * inside, 1)) * mask).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    indices = np.nonzero(mask)[1].astype(np.int32)
    return _Weight(
        f"csr {out}x{inside}",
        dense,
        lambda cuda, precision, x_type: cuda.CsrProduct(
            dense[mask], indices, indptr, inside, precision, x_type
        ),
    )


def _values(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> Array:
    """Random values, so that sums over `width` of them are about 1."""
    return (rng.standard_normal(shape) / math.sqrt(max(width, 1))).astype(np.float32)


def _activate(t: Array, activation: str = "none", alpha: float = 0.0, beta: float = 0.0) -> Array:
    from nfcompile.ir.reference import activate

    return activate(t, activation, alpha, beta)
