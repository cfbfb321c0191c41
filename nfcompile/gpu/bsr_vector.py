"""The same product as `bsr` for a single row of the batch: bound by reading the weights.

y[b, o] = epilogue(sum over blocks p of o's block row, c < C of
                   values[p, o % R, c] x[b, columns[p] + c])
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finish, rows_from

__all__ = ["bsr_vector"]


@triton.jit
def bsr_vector(
    x: tl.tensor,
    values: tl.tensor,
    starts: tl.tensor,
    columns: tl.tensor,
    bias: tl.tensor,
    residual: tl.tensor,
    y: tl.tensor,
    batch: tl.tensor,
    in_features: tl.tensor,
    out_features: tl.tensor,
    activation: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    has_bias: tl.tensor,
    residual_mode: tl.tensor,
    R: tl.constexpr,
    C: tl.constexpr,
    RS: tl.constexpr,
    KN: tl.constexpr,
    BM: tl.constexpr,
    AHEAD: tl.constexpr,
) -> None:
    """Computes RS output rows for one row of the batch each; the grid is (out / RS, batch).

    Programs are small and many, so that reads of all of them are under way at once. Products are
    added by lane: only at the end do lanes meet.

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (blocks, R, C).
        starts: Pointer to the first block of each block row, and the end, int32.
        columns: Pointer to the first column of each block, int32, a multiple of C.
        bias: See `finish`, with all that follow and are not named here.
        residual: Pointer to (batch, out_features), or null.
        y: Pointer to (batch, out_features).
        batch: Number of rows.
        in_features: Number of columns of x, a multiple of 16.
        out_features: Number of columns of y, a multiple of 16.
        activation: See `activate`.
        alpha: The same.
        beta: The same.
        has_bias: See `finish`.
        residual_mode: The same.
        R: Rows of a block.
        C: Columns of a block.
        RS: Rows of a block that a program computes; divides R.
        KN: Blocks that it takes at a time.
        BM: 1.
        AHEAD: How many steps of its loop overlap.
    """
    tl.static_assert(BM == 1)
    first = tl.program_id(0) * RS
    above = tl.program_id(1)
    begin = tl.load(starts + first // R)
    end = tl.load(starts + first // R + 1)
    k = tl.arange(0, KN)
    c = tl.arange(0, C)
    r = tl.arange(0, RS)
    from_x = rows_from(x, above, in_features) + c[None, :]
    from_values = values + (first % R + r)[None, :, None] * C + c[None, None, :]
    from_values += k[:, None, None] * (R * C)
    sums = tl.full((KN, RS, C), 0.0, tl.float32)
    for p in tl.range(begin, end, KN, num_stages=AHEAD):
        known = p + k < end
        b = tl.load(from_values + p * (R * C), mask=known[:, None, None], other=0.0)
        column = tl.load(columns + p + k, mask=known, other=0)
        a = tl.load(from_x + (column // C * C)[:, None], mask=known[:, None], other=0.0)
        sums += b.to(tl.float32) * a.to(b.dtype).to(tl.float32)[:, None, :]
    finish(
        tl.sum(tl.sum(sums, 2), 0), bias, rows_from(residual, above, out_features),
        rows_from(y, above, out_features), 0, first + r, True, True, out_features,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
