// Transposes in registers: row i, lane j  ->  row j, lane i.
#ifndef NFCOMPILE_KERNELS_TRANSPOSE_SIMD_H_
#define NFCOMPILE_KERNELS_TRANSPOSE_SIMD_H_

#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Masks of two-operand shuffles: lanes 0 .. kWidth - 1 name `a`, the others `b`.
#define NFCOMPILE_SHUFFLE(a, b, rule) __builtin_shuffle(a, b, IntsOf(rule, Lanes()))

// Swaps the off-diagonal halves of every square of 2 kStep rows and lanes.
template <int kStep>
NFCOMPILE_INLINE void SwapSquares(Floats (&rows)[kWidth]) {
  for (int i = 0; i < kWidth; ++i) {
    if ((i & kStep) != 0) continue;
    const Floats a = rows[i];
    const Floats b = rows[i + kStep];
    rows[i] = NFCOMPILE_SHUFFLE(
        a, b, [](int l) { return (l & kStep) != 0 ? kWidth + l - kStep : l; });
    rows[i + kStep] = NFCOMPILE_SHUFFLE(
        a, b, [](int l) { return (l & kStep) != 0 ? kWidth + l : l + kStep; });
  }
}

NFCOMPILE_INLINE void Transpose(Floats (&rows)[kWidth]) {
  // Within every 128-bit quarter q: 4 x 4 transposes of rows 4g .. 4g + 3, by unpacking.
  const auto low = [](int l) {
    return (l & ~3) + ((l & 3) >> 1) + ((l & 1) != 0 ? kWidth : 0);
  };
  const auto high = [=](int l) { return low(l) + 2; };
  const auto low2 = [](int l) { return (l & ~3) + (l & 1) + ((l & 2) != 0 ? kWidth : 0); };
  const auto high2 = [=](int l) { return low2(l) + 2; };
  for (int g = 0; g < kWidth; g += 4) {
    const Floats ab_low = NFCOMPILE_SHUFFLE(rows[g], rows[g + 1], low);
    const Floats ab_high = NFCOMPILE_SHUFFLE(rows[g], rows[g + 1], high);
    const Floats cd_low = NFCOMPILE_SHUFFLE(rows[g + 2], rows[g + 3], low);
    const Floats cd_high = NFCOMPILE_SHUFFLE(rows[g + 2], rows[g + 3], high);
    rows[g] = NFCOMPILE_SHUFFLE(ab_low, cd_low, low2);
    rows[g + 1] = NFCOMPILE_SHUFFLE(ab_low, cd_low, high2);
    rows[g + 2] = NFCOMPILE_SHUFFLE(ab_high, cd_high, low2);
    rows[g + 3] = NFCOMPILE_SHUFFLE(ab_high, cd_high, high2);
  }
  // Then the quarters themselves.
  if constexpr (kWidth >= 8) SwapSquares<4>(rows);
  if constexpr (kWidth >= 16) SwapSquares<8>(rows);
}

#undef NFCOMPILE_SHUFFLE

// to[c * to_stride + r] = from[r * from_stride + c] for r < kWidth, c < columns; rows from
// `valid_rows` on read as zero.
NFCOMPILE_INLINE void TransposeStrip(const float* from, int64_t from_stride, int valid_rows,
                                     int64_t columns, float* to, int64_t to_stride) {
  int64_t c = 0;
  for (; c + kWidth <= columns; c += kWidth) {
    Floats rows[kWidth];
    for (int r = 0; r < kWidth; ++r) {
      rows[r] = r < valid_rows ? Load(from + r * from_stride + c) : Splat(0.0f);
    }
    Transpose(rows);
    for (int r = 0; r < kWidth; ++r) Store(to + (c + r) * to_stride, rows[r]);
  }
  for (; c < columns; ++c) {
    for (int r = 0; r < kWidth; ++r) {
      to[c * to_stride + r] = r < valid_rows ? from[r * from_stride + c] : 0.0f;
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TRANSPOSE_SIMD_H_
