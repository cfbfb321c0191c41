// Rows of x in bf16, for products of pairs: needs AVX512-BF16.
#ifndef NFCOMPILE_KERNELS_ROUND_ROWS_SIMD_H_
#define NFCOMPILE_KERNELS_ROUND_ROWS_SIMD_H_

#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Elements between rounded rows of `size`: whole vectors, and one more, since rows a multiple
// of 4 KiB apart would share sets of the first-level cache.
NFCOMPILE_INLINE int64_t RoundedStride(int64_t size) {
  return (size + 2 * kWidth - 1) / (2 * kWidth) * (2 * kWidth) + 2 * kWidth;
}

// `rows` of `size` elements, `x_stride` apart, in bf16 and `stride` apart, a multiple of
// 2 kWidth; each is lengthened by zeros to a multiple of that. `rounded` is 64-byte aligned.
NFCOMPILE_INLINE void RoundRows(const float* x, int64_t rows, int64_t size, int64_t x_stride,
                                int64_t stride, uint16_t* rounded) {
  const auto round = [](Floats low, Floats high, uint16_t* to) __attribute__((always_inline)) {
    const __m512bh both =
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(high), reinterpret_cast<__m512>(low));
    _mm512_store_si512(to, reinterpret_cast<__m512i>(both));
  };
  const int64_t whole = size / (2 * kWidth) * (2 * kWidth);
  const auto left = static_cast<int>(size - whole);
  for (int64_t r = 0; r < rows; ++r, x += x_stride, rounded += stride) {
    for (int64_t i = 0; i < whole; i += 2 * kWidth) {
      round(Load(x + i), Load(x + i + kWidth), rounded + i);
    }
    if (left == 0) continue;
    const float* last = x + whole;
    const Floats low = left < kWidth ? LoadPart(last, left) : Load(last);
    const Floats high = left > kWidth ? LoadPart(last + kWidth, left - kWidth) : Splat(0.0f);
    round(low, high, rounded + whole);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ROUND_ROWS_SIMD_H_
