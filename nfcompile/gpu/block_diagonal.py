"""Square blocks dealt out with a stride, times a batch, on tensor cores.

y[m, place(b, r, row_stride)] = epilogue(sum over c < SIZE of
                                         values[b, r, c] x[m, place(b, c, col_stride)])
place(b, e, s) = (b / s) (SIZE s) + e s + b % s
"""

import triton
import triton.language as tl

from nfcompile.gpu.epilogue import finished, rows_from

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
def _load(
    from_x: tl.tensor,
    row: tl.tensor,
    inside: tl.tensor,
    first: tl.tensor,
    g: tl.tensor,
    stride: tl.tensor,
    in_features: tl.tensor,
    SIZE: tl.constexpr,
    G: tl.constexpr,
    BM: tl.constexpr,
    STRIDED: tl.constexpr,
) -> tl.tensor:
    """The columns of G blocks, (G, BM, SIZE).

    Strided columns of a half type come as those of even and of odd number: tensor cores take pairs,
    which so are whole when they go through shared memory.
    """
    if STRIDED and from_x.dtype.element_ty.primitive_bitwidth == 16:
        c = 2 * tl.arange(0, SIZE // 2)[None, None, :]
        at = row * in_features + _places(first, g, c, stride, SIZE, G, STRIDED)
        even = tl.load(from_x + at, mask=inside, other=0.0)
        at = row * in_features + _places(first, g, c + 1, stride, SIZE, G, STRIDED)
        odd = tl.load(from_x + at, mask=inside, other=0.0)
        a = tl.reshape(tl.join(even, odd), (G, BM, SIZE))
    else:
        c = tl.arange(0, SIZE)[None, None, :]
        at = row * in_features + _places(first, g, c, stride, SIZE, G, STRIDED)
        a = tl.load(from_x + at, mask=inside, other=0.0)
    return a


@triton.jit
def _store(
    from_y: tl.tensor,
    t: tl.tensor,
    row: tl.tensor,
    inside: tl.tensor,
    first: tl.tensor,
    g: tl.tensor,
    r: tl.tensor,
    stride: tl.tensor,
    out_features: tl.tensor,
    SIZE: tl.constexpr,
    G: tl.constexpr,
    BM: tl.constexpr,
    STEP: tl.constexpr,
    STRIDED: tl.constexpr,
) -> None:
    """Rows r to r + STEP of G blocks; strided ones of a half type as pairs, like columns."""
    t = t.to(from_y.dtype.element_ty)
    if STRIDED and from_y.dtype.element_ty.primitive_bitwidth == 16:
        even, odd = tl.split(tl.reshape(t, (G, BM, STEP // 2, 2)))
        pair = even.to(tl.uint16, bitcast=True).to(tl.uint32)
        pair |= odd.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        e = (r + 2 * tl.arange(0, STEP // 2))[None, None, :]
        at = row * out_features + _places(first, g, e, stride, SIZE, G, STRIDED)
        even = pair.to(tl.uint16).to(from_y.dtype.element_ty, bitcast=True)
        tl.store(from_y + at, even, mask=inside)
        at = row * out_features + _places(first, g, e + 1, stride, SIZE, G, STRIDED)
        odd = (pair >> 16).to(tl.uint16).to(from_y.dtype.element_ty, bitcast=True)
        tl.store(from_y + at, odd, mask=inside)
    else:
        e = (r + tl.arange(0, STEP))[None, None, :]
        at = row * out_features + _places(first, g, e, stride, SIZE, G, STRIDED)
        tl.store(from_y + at, t, mask=inside)


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
    STEP: tl.constexpr,
    X_STRIDED: tl.constexpr,
    Y_STRIDED: tl.constexpr,
) -> None:
    """Computes G neighbouring blocks for BM rows of the batch; the grid is (B / G, batch / BM).

    Columns of neighbouring blocks lie side by side, so that G of them are read and written at
    once, and a batch of G small products is computed. A program reads its part of x once, and
    multiplies it by STEP rows of its blocks after the other.

    Args:
        x: Pointer to (batch, in_features), 16-byte aligned, as all pointers are.
        values: Pointer to (B, SIZE, SIZE).
        bias: See `finished`, with all that follow and are not named here.
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
        has_bias: See `finished`.
        residual_mode: The same.
        SIZE: Rows, and columns, of a block; at least 16.
        G: Blocks that a program computes; divides B.
        BM: Rows of the batch that a program computes.
        STEP: Rows of a block that it computes at a time; divides SIZE.
        X_STRIDED: Whether columns have a stride.
        Y_STRIDED: Whether rows have one.
    """
    first = tl.program_id(0) * G
    above = tl.program_id(1) * BM
    row = tl.arange(0, BM)[None, :, None]
    g = tl.arange(0, G)[:, None, None]
    c = tl.arange(0, SIZE)[None, :, None]
    inside = row < batch - above
    from_residual = rows_from(residual, above, out_features)
    from_y = rows_from(y, above, out_features)
    a = _load(
        rows_from(x, above, in_features), row, inside, first, g, col_stride, in_features,
        SIZE, G, BM, X_STRIDED,
    )  # fmt: skip
    a = a.to(values.dtype.element_ty)
    for r in range(0, SIZE, STEP):
        e = (r + tl.arange(0, STEP))[None, None, :]
        b = tl.load(values + (((first + g) * SIZE + e) * SIZE + c))
        sums = tl.dot(a, b, input_precision="tf32x3")
        outputs = _places(first, g, e, row_stride, SIZE, G, Y_STRIDED)
        t = finished(
            sums, bias, from_residual, row, outputs, True, inside, out_features,
            activation, alpha, beta, has_bias, residual_mode,
        )  # fmt: skip
        _store(
            from_y, t, row, inside, first, g, r, row_stride, out_features,
            SIZE, G, BM, STEP, Y_STRIDED,
        )  # fmt: skip
