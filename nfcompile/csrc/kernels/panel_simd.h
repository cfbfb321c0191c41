// The register tile that BSR and block-diagonal products share. Lanes are output rows:
//
//   acc[m][v] += sum over blocks b, columns c of
//                w[b, c, v] * x[m * x_stride + starts[b] + c * kPeriod + lane % kPeriod]
//
// With kPeriod = 1 one element of x is broadcast and serves kVectors multiply-adds; x is read
// as it lies, without transposes. A larger period is a block-diagonal weight whose blocks
// interleave: neighbouring lanes belong to kPeriod different blocks.
#ifndef NFCOMPILE_KERNELS_PANEL_SIMD_H_
#define NFCOMPILE_KERNELS_PANEL_SIMD_H_

#include "base/partition.h"
#include "kernels/element_simd.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Vectors of output rows in a tile, and batch rows per tile: sums, weights and one element of x
// fill the register file.
constexpr int kPanelVectors = 2;
#if defined(__AVX512F__)
constexpr int kPanelRows = 8;
#else
constexpr int kPanelRows = kWidth == 8 ? 6 : 3;
#endif

template <int kVectors, int kRows, int kPeriod, typename Weight>
NFCOMPILE_INLINE void AddPanel(const Weight* w, const int32_t* starts, int64_t blocks,
                               int64_t columns, const float* x, int64_t x_stride,
                               Floats (&acc)[kRows][kVectors]) {
  // Independent sums hide the latency of the multiply-add where the tile itself is small.
  constexpr int kChains = kVectors * kRows >= 8 ? 1 : kVectors * kRows >= 3 ? 2 : 4;
  Floats chain[kChains][kRows][kVectors] = {};
  const auto step = [&](int c, const Weight* wc, const float* xc)
                        __attribute__((always_inline)) {
                          Floats weight[kVectors];
#pragma GCC unroll 2
                          for (int v = 0; v < kVectors; ++v)
                            weight[v] = LoadElements(wc + v * kWidth);
#pragma GCC unroll 16
                          for (int m = 0; m < kRows; ++m) {
                            const Floats value = LoadRepeated<kPeriod>(xc + m * x_stride);
#pragma GCC unroll 2
                            for (int v = 0; v < kVectors; ++v)
                              chain[c][m][v] += weight[v] * value;
                          }
                        };
  for (int64_t b = 0; b < blocks; ++b) {
    const float* xb = x + starts[b];
    int64_t c = 0;
    for (; c + kChains <= columns; c += kChains) {
#pragma GCC unroll 4
      for (int i = 0; i < kChains; ++i) {
        step(i, w + i * kVectors * kWidth, xb + (c + i) * kPeriod);
      }
      w += kChains * kVectors * kWidth;
    }
    for (; c < columns; ++c) {
      step(0, w, xb + c * kPeriod);
      w += kVectors * kWidth;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      acc[m][v] = chain[0][m][v];
#pragma GCC unroll 4
      for (int i = 1; i < kChains; ++i) acc[m][v] += chain[i][m][v];
    }
  }
}

// What a panel reads for kRows batch rows: x[m * stride + ...].
template <typename Element>
struct PanelInput {
  const Element* x;
  int64_t stride;
};

// A panel of weights W, float or bf16, that are widened. Rows of x are read as they are.
template <typename W, int kPeriod>
struct WidePanel {
  using Weight = W;
  using Element = float;
  static constexpr int64_t kInterleaved = kPeriod;

  template <int kVectors, int kRows>
  static NFCOMPILE_INLINE void Add(const Weight* w, const int32_t* starts, int64_t blocks,
                                   int64_t columns, PanelInput<Element> input,
                                   Floats (&acc)[kRows][kVectors]) {
    AddPanel<kVectors, kRows, kPeriod>(w, starts, blocks, columns, input.x, input.stride, acc);
  }

  template <int kRows>
  static NFCOMPILE_INLINE PanelInput<Element> Prepare(PanelInput<float> input, int64_t,
                                                      float*) {
    return input;
  }
};

// A number known to the compiler: Constant<3>::kValue.
template <int kNumber>
struct Constant {
  static constexpr int kValue = kNumber;
};

// Calls body(Constant<n>()) for n = number, 1 <= number <= kMax.
template <int kMax, typename Body>
NFCOMPILE_INLINE void WithConstant(int number, Body body) {
  if constexpr (kMax > 1) {
    if (number < kMax) {
      WithConstant<kMax - 1>(number, body);
      return;
    }
  }
  body(Constant<kMax>());
}

// Cuts the batch into tiles of at most kMaxRows rows, as even as can be, and calls
// tile(m, Constant<rows>()).
template <int kMaxRows, typename Tile>
NFCOMPILE_INLINE void ForEachTile(Range batch, Tile tile) {
  int64_t tiles = (batch.size() + kMaxRows - 1) / kMaxRows;
  for (int64_t m = batch.begin; m < batch.end; --tiles) {
    const auto rows = static_cast<int>((batch.end - m + tiles - 1) / tiles);
    WithConstant<kMaxRows>(rows, [&](auto constant) { tile(m, constant); });
    m += rows;
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_PANEL_SIMD_H_
