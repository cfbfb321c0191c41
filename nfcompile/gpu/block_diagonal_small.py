"""The same product as `block_diagonal` for blocks too small for tensor cores.

y[m, place(b, r, row_stride)] = epilogue(sum over c < SIZE of
                                         values[b, r, c] x[m, place(b, c, col_stride)])
"""

import triton
import triton.language as tl

from nfcompile.gpu.block_diagonal import group_base
from nfcompile.gpu.epilogue import finish, rows_from

__all__ = ["block_diagonal_small"]


@triton.jit
def block_diagonal_small(
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
    ALIGNED: tl.constexpr,
) -> None:
    """Computes G neighbouring blocks for BM rows of the batch; the grid is (B / G, batch / BM).

    A program holds its part of x in registers and multiplies it by one row of all its blocks
    after the other.

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (B, SIZE, SIZE).
        bias: See `finish`, with all that follow and are not named here.
        residual: Pointer to (batch, out_features), or null.
        y: Pointer to (batch, out_features).
        col_stride: Of the columns; divides B, and is a multiple of G if ALIGNED.
        row_stride: Of the rows, the same.
        batch: Number of rows.
        in_features: B * SIZE, a multiple of 16 if ALIGNED.
        out_features: The same.
        activation: See `activate`.
        alpha: The same.
        beta: The same.
        has_bias: See `finish`.
        residual_mode: The same.
        SIZE: Rows, and columns, of a block.
        G: Blocks that a program computes.
        BM: Rows of the batch that a program computes.
        ALIGNED: Whether both strides are multiples of G, so that G columns lie side by side.
    """
    first = tl.program_id(0) * G
    b = first + tl.arange(0, G)
    above = tl.program_id(1) * BM
    row = tl.arange(0, BM)[:, None]
    if ALIGNED:
        known = tl.full((G,), 1, tl.int1)
        inside = row < batch - above
        apart = col_stride // G * G
        below = row_stride // G * G
        left = group_base(first, apart, SIZE, G) + tl.arange(0, G)
        top = group_base(first, below, SIZE, G) + tl.arange(0, G)
    else:
        known = b * SIZE < in_features
        inside = (row < batch - above) & known[None, :]
        apart = col_stride
        below = row_stride
        left = b // apart * (SIZE * apart) + b % apart
        top = b // below * (SIZE * below) + b % below
    from_x = rows_from(x, above, in_features) + (row * in_features + left[None, :])
    from_residual = rows_from(residual, above, out_features)
    from_y = rows_from(y, above, out_features)
    a: tl.tuple = ()
    for c in tl.static_range(SIZE):
        loaded = tl.load(from_x + c * apart, mask=inside, other=0.0)
        a = a + (loaded.to(values.dtype.element_ty).to(tl.float32),)  # noqa: RUF005
    for r in range(SIZE):
        sums = tl.full((BM, G), 0.0, tl.float32)
        for c in tl.static_range(SIZE):
            v = tl.load(values + (b * SIZE + r) * SIZE + c, mask=known, other=0.0)
            sums += v.to(tl.float32)[None, :] * a[c]
        outputs = (top + r * below)[None, :]
        finish(
            sums, bias, from_residual, from_y, row, outputs, known[None, :], inside, out_features,
            activation, alpha, beta, has_bias, residual_mode,
        )  # fmt: skip
