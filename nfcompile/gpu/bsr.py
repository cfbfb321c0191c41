"""Block-sparse rows times a batch, on tensor cores.

y[b, o] = epilogue(sum over blocks p of o's block row, c < C of
                   values[p, o % R, c] x[b, columns[p] + c])
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finish, rows_from

__all__ = ["bsr"]


@triton.jit
def bsr(
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
    BM: tl.constexpr,
) -> None:
    """Computes RS output rows for BM rows of the batch; the grid is (out / RS, batch / BM).

    Programs along the first axis share rows of x, which so stay in the second-level cache. Sums
    are transposed, (RS, BM): the batch is the wide side of the tensor cores' products. A
    block is read in steps of 128 bytes of x, as copies that run ahead of the products. Its
    column is read a step before it is needed: as an indirection inside the step it would halve
    how far the copies run ahead.

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
        BM: Rows of the batch that a program computes.
    """
    STEP: tl.constexpr = min(C, 1024 // x.dtype.element_ty.primitive_bitwidth)
    STEPS: tl.constexpr = C // STEP
    first = tl.program_id(0) * RS
    above = tl.program_id(1) * BM
    begin = tl.load(starts + first // R) * STEPS
    end = tl.load(starts + first // R + 1) * STEPS
    row = tl.arange(0, BM)[None, :]
    c = tl.arange(0, STEP)
    r = tl.arange(0, RS)[:, None]
    inside = row < batch - above
    from_x = rows_from(x, above, in_features) + (row * in_features + c[:, None])
    from_values = values + (first % R + r) * C + c[None, :]
    column = tl.load(columns + begin // STEPS, mask=begin < end, other=0)
    sums = tl.full((RS, BM), 0.0, tl.float32)
    for i in range(begin, end):
        done = i % STEPS * STEP
        aligned = column // C * C + done
        a = tl.load(from_x + aligned, mask=inside, other=0.0)
        b = tl.load(from_values + (i // STEPS * (R * C) + done))
        sums = tl.dot(b, a.to(b.dtype), sums, input_precision="tf32x3")
        column = tl.load(columns + (i + 1) // STEPS, mask=i + 1 < end, other=0)
    finish(
        sums, bias, rows_from(residual, above, out_features), rows_from(y, above, out_features),
        row, first + r, True, inside, out_features,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
