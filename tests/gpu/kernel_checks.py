"""The Triton kernels in the interpreter, each as every variant: run by test_library.py."""

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support_cuda import interpret

from nfcompile.gpu.variants import VARIANTS, Variant
from nfcompile.ir.product_schemas import ACTIVATIONS
from nfcompile.sparse.block_diagonal import strided_indices

RNG = np.random.default_rng(0)
TYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
ROUNDING = {"f32": 2.0**-20, "f16": 2.0**-10, "bf16": 2.0**-7}
GUARD = 64
"""Elements in front of y and behind it that nobody may write."""


@dataclass
class Weight:
    """A weight as its kernel takes it.

    Attributes:
        dense: (out, in), float64, of the values as they are stored.
        arrays: values, then lists.
        scalars: Strides.
        units: Output rows or blocks that programs share.
    """

    dense: np.ndarray
    arrays: list[np.ndarray]
    units: int
    scalars: list[int] = field(default_factory=list)


def values_of(variant: Variant, shape: tuple[int, ...]) -> np.ndarray:
    return RNG.standard_normal(shape).astype(TYPES[variant.value_type])


def bsr(variant: Variant) -> Weight:
    size = variant.constants["R"]
    mask = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], bool)  # an empty row of blocks, too
    rows, columns = np.nonzero(mask)
    values = values_of(variant, (len(rows), size, size))
    dense = np.zeros((3 * size, 3 * size))
    for block, row, column in zip(values, rows, columns, strict=True):
        dense[row * size : (row + 1) * size, column * size : (column + 1) * size] = block
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    return Weight(dense, [values, starts, (columns * size).astype(np.int32)], 3 * size)


def block_diagonal(variant: Variant) -> Weight:
    constants = variant.constants
    size, group = constants["SIZE"], constants["G"]
    aligned = constants.get("ALIGNED")
    if aligned == 0:
        blocks, col_stride, row_stride = 6, 3, 2
    else:
        blocks = 2 * group
        col_stride = group if constants.get("X_STRIDED", aligned) else 1
        row_stride = blocks if constants.get("Y_STRIDED", aligned) else 1
    values = values_of(variant, (blocks, size, size))
    rows = strided_indices(blocks, size, row_stride)
    columns = strided_indices(blocks, size, col_stride)
    dense = np.zeros((blocks * size, blocks * size))
    dense[rows[:, :, None], columns[:, None, :]] = values
    return Weight(dense, [values], blocks, [col_stride, row_stride])


def wide_places(blocks: int, size: int, group: int, stride: int) -> np.ndarray:
    """Of the elements of dense blocks, over (element, block) where there is a stride."""
    places = strided_indices(blocks, size, stride).reshape(-1, group, size)
    if stride > 1:
        places = places.swapaxes(1, 2)
    return places.reshape(-1, group * size)


def block_diagonal_wide(variant: Variant) -> Weight:
    blocks = block_diagonal(variant)
    size, group = variant.constants["SIZE"], variant.constants["G"]
    columns, rows = (wide_places(blocks.units, size, group, stride) for stride in blocks.scalars)
    values = blocks.dense[rows[:, :, None], columns[:, None, :]]
    stored = values.astype(TYPES[variant.value_type])
    return Weight(blocks.dense, [stored], blocks.units * size, blocks.scalars)


def wide_variant(
    kind: str, size: int, group: int, batch: int, rows: int, *, x: int, y: int
) -> Variant:
    constants = {"SIZE": size, "G": group, "BM": batch, "RS": rows, "X_STRIDED": x, "Y_STRIDED": y}
    return Variant("block_diagonal_wide", kind, kind, constants, 8)


WIDE = [
    wide_variant("bf16", 16, 8, 32, 64, x=1, y=1),
    wide_variant("bf16", 32, 16, 16, 128, x=1, y=0),
    wide_variant("f16", 16, 8, 16, 64, x=0, y=1),
]
"""Not in the library: to be measured first."""


def csr(variant: Variant) -> Weight:
    out_features, in_features = 11, 45
    mask = RNG.random((out_features, in_features)) < 0.3
    mask[3], mask[5] = False, True  # rows without values, and with more than one step of them
    rows, columns = np.nonzero(mask)
    values = values_of(variant, (len(rows),))
    dense = np.zeros((out_features, in_features))
    dense[rows, columns] = values
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    kind = np.uint16 if variant.index_type == "u16" else np.int32
    return Weight(dense, [values, starts, columns.astype(kind)], out_features)


MAKE = {
    "bsr": bsr,
    "bsr_vector": bsr,
    "block_diagonal": block_diagonal,
    "block_diagonal_wide": block_diagonal_wide,
    "block_diagonal_small": block_diagonal,
    "csr": csr,
}


def run(
    variant: Variant, weight: Weight, x: np.ndarray, bias: Any = None, residual: Any = None,
    activation: str = "none", alpha: float = 0.0, beta: float = 0.0, residual_mode: int = 0,
) -> np.ndarray:  # fmt: skip
    """y of the interpreted kernel; what lies around it must stay as it was."""
    kind, (out_features, in_features) = TYPES[variant.x_type], weight.dense.shape
    operands = [None if a is None else a.astype(kind) for a in (x, bias, residual)]
    memory = np.full(2 * GUARD + len(x) * out_features, 77, kind)
    addresses = [0 if a is None else a.ctypes.data for a in operands]
    mode = 0 if residual is None else 1 + residual_mode  # kernels are told of none as 0
    arguments = [
        addresses[0], *(array.ctypes.data for array in weight.arrays), *addresses[1:],
        memory.ctypes.data + GUARD * memory.itemsize, *weight.scalars, len(x), in_features,
        out_features, ACTIVATIONS.index(activation), alpha, beta, int(bias is not None), mode,
    ]  # fmt: skip
    constants = variant.constants
    per_program = constants.get("RS") or constants.get("G") or constants["RN"]
    grid = (-(-weight.units // per_program), -(-len(x) // constants["BM"]), 1)
    interpret(variant, grid, arguments)
    assert (memory[:GUARD] == 77).all() and (memory[len(memory) - GUARD :] == 77).all()
    return memory[GUARD : len(memory) - GUARD].reshape(len(x), -1).astype(np.float64)


def rounded(array: np.ndarray, name: str) -> np.ndarray:
    return array.astype(TYPES[name]).astype(np.float64)


@pytest.mark.parametrize("variant", [*VARIANTS, *WIDE], ids=lambda variant: variant.symbol)
def test_a_variant_gives_the_dense_product(variant: Variant) -> None:
    weight = MAKE[variant.kernel](variant)
    batch = variant.constants["BM"] + 1  # a program whose batch is whole, and one whose is not
    x = RNG.standard_normal((batch, weight.dense.shape[1]))
    wide = rounded(x, variant.x_type)
    expected = wide @ weight.dense.T
    # fp32 sums, then y in the type of x; x is rounded where values are narrower. (The
    # interpreter truncates it, a device rounds to nearest.)
    narrowed = 0 if variant.value_type == variant.x_type else ROUNDING[variant.value_type]
    size = np.abs(wide) @ np.abs(weight.dense.T)
    bound = (2.0**-18 + narrowed) * size + ROUNDING[variant.x_type] * np.abs(expected)
    assert (np.abs(run(variant, weight, x) - expected) <= bound).all()


ONE_OF_EACH = [
    next(v for v in VARIANTS if v.kernel == name and v.x_type == kind)
    for name in MAKE
    if name != "block_diagonal_wide"
    for kind in ("f32", "bf16")
]


@pytest.mark.parametrize("residual_mode", [0, 1, 2])
@pytest.mark.parametrize("variant", ONE_OF_EACH, ids=lambda variant: variant.symbol)
def test_every_kernel_applies_bias_and_residual(variant: Variant, residual_mode: int) -> None:
    weight = MAKE[variant.kernel](variant)
    x = RNG.standard_normal((3, weight.dense.shape[1]))
    bias, residual = (
        RNG.standard_normal(len(weight.dense)),
        RNG.standard_normal((3, len(weight.dense))),
    )
    x, bias, residual = (rounded(item, variant.x_type) for item in (x, bias, residual))
    t = x @ weight.dense.T + bias
    added, activated = np.maximum(t + residual, 0), np.maximum(t, 0)
    expected = (added, activated + residual, activated * residual)[residual_mode]
    got = run(variant, weight, x, bias, residual, "relu", residual_mode=residual_mode)
    close = ROUNDING[variant.x_type]
    np.testing.assert_allclose(got, expected, rtol=close, atol=1e-4 + 4 * close)


@pytest.mark.parametrize("x_type", ["f16", "bf16"])
def test_bias_and_residual_in_half_types(x_type: str) -> None:
    variant = next(v for v in VARIANTS if v.kernel == "csr" and v.x_type == x_type)
    weight = csr(variant)
    x = RNG.standard_normal((2, 45))
    bias, residual = RNG.standard_normal(11), RNG.standard_normal((2, 11))
    expected = (
        rounded(x, x_type) @ weight.dense.T + rounded(bias, x_type) + rounded(residual, x_type)
    )
    got = run(variant, weight, x, bias, residual)
    np.testing.assert_allclose(got, expected, rtol=ROUNDING[x_type], atol=1e-4)


def formula(name: str, t: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    from scipy.special import erf, expit

    inner = np.sqrt(2 / np.pi) * (t + 0.044715 * t**3)
    return {
        "none": t,
        "relu": np.maximum(t, 0),
        "leaky_relu": np.where(t < 0, alpha * t, t),
        "clip": np.clip(t, alpha, beta),
        "gelu": t / 2 * (1 + erf(t / np.sqrt(2))),
        "gelu_tanh": t / 2 * (1 + np.tanh(inner)),
        "silu": t * expit(t),
        "sigmoid": expit(t),
        "tanh": np.tanh(t),
        "hard_swish": t * np.clip(t / 6 + 0.5, 0, 1),
        "elu": np.where(t < 0, alpha * np.expm1(np.minimum(t, 0)), t),
    }[name]


def identity(t: np.ndarray) -> tuple[Variant, Weight, np.ndarray]:
    """A weight of one, and t as x: the epilogue alone."""
    variant = next(v for v in VARIANTS if v.symbol.startswith("csr_f32_f32_i32"))
    one = [np.ones(1, np.float32), np.array([0, 1], np.int32), np.zeros(1, np.int32)]
    return variant, Weight(np.ones((1, 1)), one, 1), t.reshape(-1, 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_has_the_accuracy_of_fp32(activation: str) -> None:
    t = np.concatenate([np.linspace(-12, 12, 193), [-90, 90, 1e-3, -1e-3, 1e-6, 0.0]])
    t = t.astype(np.float32).astype(np.float64)
    got = run(*identity(t), activation=activation, alpha=0.25, beta=1.5).ravel()
    expected = formula(activation, t, 0.25, 1.5)
    assert np.abs(got - expected).max() <= 5e-7 * max(1, np.abs(expected).max() / 16)


def test_elu_is_right_where_its_exponential_is_nearly_one() -> None:
    t = -np.geomspace(1e-7, 0.5, 60).astype(np.float32).astype(np.float64)
    got = run(*identity(t), activation="elu", alpha=0.7).ravel()
    np.testing.assert_allclose(got, 0.7 * np.expm1(t), rtol=3e-6)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "silu", "sigmoid"])
def test_huge_numbers_do_not_become_nan(activation: str) -> None:
    t = np.array([-np.inf, -1e25, 1e25, np.inf])
    got = run(*identity(t), activation=activation).ravel()
    right = [0, 0, 1, 1] if activation == "sigmoid" else [0, 0, 1e25, np.inf]
    np.testing.assert_allclose(got[1:], right[1:], rtol=1e-6)
    assert got[0] == 0 if activation == "sigmoid" else np.isnan(got[0])  # -inf * 0, as on the CPU


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_passes_through_an_activation(activation: str) -> None:
    got = run(*identity(np.array([np.nan])), activation=activation, alpha=0.25, beta=1.5)
    assert np.isnan(got).all()
