// block_diagonal_bf16_avx512_bf16: two columns of a block at a time, through the dot product of
// bf16 pairs, products exact and sums in fp32. x is rounded block by block.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/block_diagonal/blocks_simd.h"
#include "kernels/block_diagonal/rows_simd.h"
#include "kernels/pair_panel_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
namespace {

// Weights [c / 2][lane][c % 2].
struct PairLanes {
  using Weight = uint16_t;
  using Element = uint16_t;
  static constexpr bool kCopies = true;

  template <int kElements, int kRows>
  static NFCOMPILE_INLINE void Add(const Weight* w, int64_t columns, LaneInput<Element> input,
                                   Floats (&acc)[kElements][kRows]) {
    __m512 sums[kElements][kRows] = {};
    for (int64_t c = 0; c < columns / 2; ++c) {
      __m512bh x[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        x[r] = reinterpret_cast<__m512bh>(
            _mm512_load_si512(input.x + r * input.row_stride + c * input.column_stride));
      }
#pragma GCC unroll 4
      for (int i = 0; i < kElements; ++i) {
        const auto weight =
            reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + (i * columns + 2 * c) * kWidth));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          sums[i][r] = _mm512_dpbf16_ps(sums[i][r], weight, x[r]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kElements; ++i) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[i][r] = reinterpret_cast<Floats>(sums[i][r]);
    }
  }

  // [r][c / 2][lane][c % 2] in `workspace`.
  template <int kRows>
  static NFCOMPILE_INLINE LaneInput<Element> Prepare(LaneInput<float> input, int64_t columns,
                                                     float* workspace) {
    auto* rounded = reinterpret_cast<uint16_t*>(workspace);
    uint16_t interleaved[2 * kWidth];
    for (int l = 0; l < 2 * kWidth; ++l) {
      interleaved[l] = static_cast<uint16_t>(l / 2 + l % 2 * kWidth);
    }
    const __m512i places = _mm512_loadu_si512(interleaved);
    for (int r = 0; r < kRows; ++r) {
      const float* x = input.x + r * input.row_stride;
      for (int64_t c = 0; c < columns; c += 2, x += 2 * input.column_stride) {
        const __m512bh both =
            _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(Load(x + input.column_stride)),
                                reinterpret_cast<__m512>(Load(x)));
        _mm512_store_si512(rounded + (r * columns + c) * kWidth,
                           _mm512_permutexvar_epi16(places, reinterpret_cast<__m512i>(both)));
      }
    }
    return {rounded, columns * kWidth, 2 * kWidth};
  }
};

void BlockDiagonalPairsTimesMatrix(const BlockDiagonalWeights& weights,
                                   const Operands& operands, Range batch, Range groups,
                                   float* workspace) {
  if (weights.layout == BlockLayout::kBlocks) {
    RunBlocks<PairLanes>(weights, operands, batch, groups, workspace);
  } else {
    RunRows<PairPanel>(weights, operands, batch, groups, workspace);
  }
}

}  // namespace
}  // namespace avx512_bf16

const BlockDiagonalKernel block_diagonal_bf16_avx512_bf16 = {
    .name = "block_diagonal_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .width = avx512_bf16::kWidth,
    .strip_vectors = avx512_bf16::kPanelVectors,
    .matrix = avx512_bf16::BlockDiagonalPairsTimesMatrix,
};

}  // namespace nfcompile
