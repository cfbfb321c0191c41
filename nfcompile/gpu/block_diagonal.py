"""Square blocks dealt out with a stride, times a batch, on tensor cores.

y[m, place(b, r, row_stride)] = epilogue(sum over c < SIZE of
                                         values[b, r, c] x[m, place(b, c, col_stride)])
place(b, e, s) = (b / s) (SIZE s) + e s + b % s
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finish

__all__ = ["block_diagonal", "group_base"]


@triton.jit
def group_base(
    first: tl.tensor, stride: tl.tensor, SIZE: tl.constexpr, G: tl.constexpr
) -> tl.tensor:
    """Place of element 0 of block `first`, which, like the stride, is a multiple of G.

    Element e of block first + g, for g < G, lies e * stride + g after it. That the result is a
    multiple of G, too, is spelled out for the compiler.
    """
    return (first // stride * (SIZE * stride) + first % stride) // G * G


@triton.jit
def _places(
    first: tl.tensor,
    g: tl.tensor,
    e: tl.tensor,
    stride: tl.tensor,
    SIZE: tl.constexpr,
    G: tl.constexpr,
    STRIDED: tl.constexpr,
) -> tl.tensor:
    if STRIDED:
        places = group_base(first, stride, SIZE, G) + e * (stride // G * G) + g
    else:
        places = (first + g) * SIZE + e
    return places


@triton.jit
def block_diagonal(
    x: tl.tensor,
    values: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    y: tl.tensor,
    col_stride: tl.tensor,
    row_stride: tl.tensor,
    batch: tl.tensor,
    in_features: tl.tensor,
    out_features: tl.tensor,
    activation: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    has_bias: tl.tensor,
    residual_mode: tl.tensor,
    SIZE: tl.constexpr,
    G: tl.constexpr,
    BM: tl.constexpr,
    X_STRIDED: tl.constexpr,
    Y_STRIDED: tl.constexpr,
) -> None:
    """Computes G neighbouring blocks for BM rows of the batch; the grid is (B / G, batch / BM).

    Columns of neighbouring blocks lie side by side, so that G of them are read and written at
    once, and a batch of G small products is computed. For few rows of the batch a block is read
    in one go, else in steps, as copies that run ahead of the products.

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (B, SIZE, SIZE).
        bias: See `finish`, with all that follow and are not named here.
        residual: The same.
        y: Pointer to (batch, out_features).
        col_stride: Of the columns: a multiple of G if X_STRIDED, else 1. Divides B.
        row_stride: Of the rows: a multiple of G if Y_STRIDED, else 1. Divides B.
        batch: Number of rows.
        in_features: B * SIZE, a multiple of 16.
        out_features: The same.
        activation: See `activate`.
        alpha: The same.
        beta: The same.
        has_bias: See `finish`.
        residual_mode: The same.
        SIZE: Rows, and columns, of a block; at least 16.
        G: Blocks that a program computes; divides B.
        BM: Rows of the batch that a program computes; at most 8 are few.
        X_STRIDED: Whether columns have a stride.
        Y_STRIDED: Whether rows have one.
    """
    STEP: tl.constexpr = SIZE if BM <= 8 else 16
    first = tl.program_id(0) * G
    m = (tl.program_id(1) * BM + tl.arange(0, BM))[None, :, None]
    g = tl.arange(0, G)[:, None, None]
    r = tl.arange(0, SIZE)
    c = tl.arange(0, STEP)
    inside = m < batch
    row = m.to(tl.int64)
    from_values = values + ((first + g) * SIZE + r[None, None, :]) * SIZE + c[None, :, None]
    sums = tl.full((G, BM, SIZE), 0.0, tl.float32)
    for left in range(0, SIZE, STEP):
        at = _places(first, g, left + c[None, None, :], col_stride, SIZE, G, X_STRIDED)
        a = tl.load(x + row * in_features + at, mask=inside, other=0.0)
        b = tl.load(from_values + left)
        sums = tl.dot(a.to(b.dtype), b, sums, input_precision="tf32x3")
    outputs = _places(first, g, r[None, None, :], row_stride, SIZE, G, Y_STRIDED)
    places = row * out_features + outputs
    finish(
        sums, bias, residual, y, outputs, True, places, inside,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
