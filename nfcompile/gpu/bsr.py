"""Block-sparse rows times a batch, on tensor cores.

y[b, o] = epilogue(sum over blocks p of o's block row, c < C of
                   values[p, o % R, c] x[b, columns[p] + c])
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finish

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

    Programs along the first axis share rows of x, which so stay in the second-level cache. A
    block is read in steps of 128 bytes of x, as copies that run ahead of the products. Its
    column is read a step before it is needed: as an indirection inside the step it would halve
    how far the copies run ahead.

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (blocks, R, C).
        starts: Pointer to the first block of each block row, and the end, int32.
        columns: Pointer to the first column of each block, int32, a multiple of C.
        bias: See `finish`, with all that follow and are not named here.
        residual: The same.
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
    begin = tl.load(starts + first // R) * STEPS
    end = tl.load(starts + first // R + 1) * STEPS
    m = (tl.program_id(1) * BM + tl.arange(0, BM))[:, None]
    c = tl.arange(0, STEP)
    r = tl.arange(0, RS)
    inside = m < batch
    row = m.to(tl.int64)
    from_x = x + row * in_features + c[None, :]
    from_values = values + (first % R + r)[None, :] * C + c[:, None]
    column = tl.load(columns + begin // STEPS, mask=begin < end, other=0)
    sums = tl.full((BM, RS), 0.0, tl.float32)
    for i in range(begin, end):
        done = i % STEPS * STEP
        aligned = column // C * C + done
        a = tl.load(from_x + aligned, mask=inside, other=0.0)
        b = tl.load(from_values + (i // STEPS * (R * C) + done))
        sums = tl.dot(a.to(b.dtype), b, sums, input_precision="tf32x3")
        column = tl.load(columns + (i + 1) // STEPS, mask=i + 1 < end, other=0)
    outputs = first + r[None, :]
    places = row * out_features + outputs
    finish(
        sums, bias, residual, y, outputs, True, places, inside,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
