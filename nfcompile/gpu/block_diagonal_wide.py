"""The same product as `block_diagonal`, of G neighbouring blocks as one dense block.

Strided blocks that are neighbours have neighbouring columns: element e of all G of them lies in
one run. Over (element, block) the G blocks are one dense block of SIZE G rows and columns, of
which 1 / G is not zero: more arithmetic, of which tensor cores have plenty, for tiles that need no
transposing on the way. What is NaN or infinite in x reaches the rows of all G blocks, since zeros
are multiplied, too.
"""

import triton
import triton.language as tl

from nfcompile.gpu.block_diagonal import group_base
from nfcompile.gpu.epilogue import finish, rows_from

__all__ = ["block_diagonal_wide"]


@triton.jit
def _places(
    first: tl.tensor,
    e: tl.tensor,
    stride: tl.tensor,
    SIZE: tl.constexpr,
    G: tl.constexpr,
    STRIDED: tl.constexpr,
) -> tl.tensor:
    """Where elements of the dense block lie, counted over (element, block) if it is strided."""
    if STRIDED:
        places = group_base(first, stride, SIZE, G) + e // G * (stride // G * G) + e % G
    else:
        places = first * SIZE + e
    return places


@triton.jit
def block_diagonal_wide(
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
    RS: tl.constexpr,
    X_STRIDED: tl.constexpr,
    Y_STRIDED: tl.constexpr,
) -> None:
    """Computes RS output rows for BM rows of the batch; the grid is (out / RS, batch / BM).

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (B / G, SIZE G, SIZE G).
        bias: See `finish`, with all that follow and are not named here.
        residual: Pointer to (batch, out_features), or null.
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
        SIZE: Rows, and columns, of a block.
        G: Blocks that make a dense one; divides B.
        BM: Rows of the batch that a program computes.
        RS: Rows of a dense block that it computes; divides SIZE G.
        X_STRIDED: Whether columns have a stride.
        Y_STRIDED: Whether rows have one.
    """
    WIDTH: tl.constexpr = SIZE * G
    STEP: tl.constexpr = 64
    group = tl.program_id(0) // (WIDTH // RS)
    r = tl.program_id(0) % (WIDTH // RS) * RS + tl.arange(0, RS)[:, None]
    above = tl.program_id(1) * BM
    row = tl.arange(0, BM)[None, :]
    inside = row < batch - above
    from_x = rows_from(x, above, in_features) + row * in_features
    from_values = values + (group * WIDTH + r) * WIDTH
    sums = tl.full((RS, BM), 0.0, tl.float32)
    for begin in range(0, WIDTH, STEP):
        c = begin + tl.arange(0, STEP)
        at = _places(group * G, c, col_stride, SIZE, G, X_STRIDED)
        a = tl.load(from_x + at[:, None], mask=inside, other=0.0)
        b = tl.load(from_values + c[None, :])
        sums = tl.dot(b, a.to(b.dtype), sums)
    finish(
        sums, bias, rows_from(residual, above, out_features), rows_from(y, above, out_features),
        row, _places(group * G, r, row_stride, SIZE, G, Y_STRIDED), True, inside, out_features,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
