// A panel (panel_simd.h) of bf16 weights by pairs of columns, [c / 2][lane][c % 2], through the
// dot product of pairs: products exact, sums in fp32. Needs AVX512-BF16.
#ifndef NFCOMPILE_KERNELS_PAIR_PANEL_SIMD_H_
#define NFCOMPILE_KERNELS_PAIR_PANEL_SIMD_H_

#include "kernels/panel_simd.h"
#include "kernels/round_rows_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

struct PairPanel {
  using Weight = uint16_t;
  using Element = uint16_t;
  static constexpr int64_t kInterleaved = 1;

  static NFCOMPILE_INLINE __m512bh Pair(const uint16_t* x) {
    int32_t pair;
    __builtin_memcpy(&pair, x, sizeof(pair));
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
  }

  template <int kVectors, int kRows>
  static NFCOMPILE_INLINE void Add(const Weight* w, const int32_t* starts, int64_t blocks,
                                   int64_t columns, PanelInput<Element> input,
                                   Floats (&acc)[kRows][kVectors]) {
    // Independent sums hide the latency of the dot product where the tile itself is small.
    constexpr int kSums = kVectors * kRows;
    constexpr int kChains = kSums >= 12 ? 1 : kSums >= 6 ? 2 : 4;
    __m512 chain[kChains][kRows][kVectors] = {};
    const auto step = [&](int i, const Weight* wc,
                          const Element* xc) __attribute__((always_inline)) {
      __m512bh weight[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        weight[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(wc + v * 2 * kWidth));
      }
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const __m512bh pair = Pair(xc + m * input.stride);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          chain[i][m][v] = _mm512_dpbf16_ps(chain[i][m][v], weight[v], pair);
        }
      }
    };
    constexpr int64_t kStep = 2 * kVectors * kWidth;
    for (int64_t b = 0; b < blocks; ++b) {
      const Element* xb = input.x + starts[b];
      int64_t c = 0;
      for (; c + 2 * kChains <= columns; c += 2 * kChains) {
#pragma GCC unroll 4
        for (int i = 0; i < kChains; ++i) step(i, w + i * kStep, xb + c + 2 * i);
        w += kChains * kStep;
      }
      for (; c < columns; c += 2) {
        step(0, w, xb + c);
        w += kStep;
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        acc[m][v] = reinterpret_cast<Floats>(chain[0][m][v]);
#pragma GCC unroll 4
        for (int i = 1; i < kChains; ++i) {
          acc[m][v] += reinterpret_cast<Floats>(chain[i][m][v]);
        }
      }
    }
  }

  // The columns of a block, rounded into `workspace`.
  template <int kRows>
  static NFCOMPILE_INLINE PanelInput<Element> Prepare(PanelInput<float> input, int64_t columns,
                                                      float* workspace) {
    auto* rounded = reinterpret_cast<uint16_t*>(workspace);
    const int64_t stride = RoundedStride(columns);
    RoundRows(input.x, kRows, columns, input.stride, stride, rounded);
    return {rounded, stride};
  }
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_PAIR_PANEL_SIMD_H_
