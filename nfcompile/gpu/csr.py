"""Compressed sparse rows times a few rows of a batch.

y[b, o] = epilogue(sum over starts[o] <= p < starts[o + 1] of values[p] x[b, indices[p]])
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finish, rows_from

__all__ = ["csr"]


@triton.jit
def csr(
    x: tl.tensor,
    values: tl.tensor,
    starts: tl.tensor,
    indices: tl.tensor,
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
    RN: tl.constexpr,
    KN: tl.constexpr,
    BM: tl.constexpr,
) -> None:
    """Computes RN output rows for BM rows of the batch; the grid is (out / RN, batch / BM).

    KN values of each row are taken at a time, neighbouring ones by neighbouring lanes, and
    each is multiplied by BM gathered elements of x.

    Args:
        x: Pointer to (batch, in_features).
        values: Pointer to (nnz,).
        starts: Pointer to the first value of each row, and the end, int32.
        indices: Pointer to the column of each value, int32 or uint16.
        bias: See `finish`, with all that follow and are not named here.
        residual: Pointer to (batch, out_features), or null.
        y: Pointer to (batch, out_features).
        batch: Number of rows.
        in_features: Number of columns of x.
        out_features: Number of columns of y.
        activation: See `activate`.
        alpha: The same.
        beta: The same.
        has_bias: See `finish`.
        residual_mode: The same.
        RN: Output rows that a program computes.
        KN: Values of a row that it takes at a time.
        BM: Rows of the batch that it computes.
    """
    outputs = tl.program_id(0) * RN + tl.arange(0, RN)
    above = tl.program_id(1) * BM
    row = tl.arange(0, BM)
    known = outputs < out_features
    inside = row < batch - above
    from_x = rows_from(x, above, in_features) + (row * in_features)[:, None, None]
    begin = tl.load(starts + outputs, mask=known, other=0)
    end = tl.load(starts + outputs + 1, mask=known, other=0)
    sums = tl.full((BM, RN, KN), 0.0, tl.float32)
    for k in range(0, tl.max(end - begin, 0), KN):
        at = begin[:, None] + k + tl.arange(0, KN)[None, :]
        stored = at < end[:, None]
        v = tl.load(values + at, mask=stored, other=0.0)
        column = tl.load(indices + at, mask=stored, other=0).to(tl.int32)
        taken = inside[:, None, None] & stored[None, :, :]
        a = tl.load(from_x + column[None, :, :], mask=taken, other=0.0)
        sums += v.to(tl.float32)[None, :, :] * a.to(v.dtype).to(tl.float32)
    finish(
        tl.sum(sums, 2), bias, rows_from(residual, above, out_features),
        rows_from(y, above, out_features), row[:, None], outputs[None, :], known[None, :],
        inside[:, None] & known[None, :], out_features,
        activation, alpha, beta, has_bias, residual_mode,
    )  # fmt: skip
