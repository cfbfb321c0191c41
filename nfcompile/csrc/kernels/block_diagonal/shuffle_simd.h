// Block-diagonal products whose interleaved runs fit in a vector (BlockLayout::kShuffle):
//
//   y[m, g W + lane] = sum_c w[g, c][lane] x[m, g W + shuffle[c][lane]]
//
// One load of x serves all its uses; the columns are picked by shuffles in registers.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_

#include "kernels/block_diagonal/block_diagonal_kernel.h"
#include "kernels/block_diagonal/rows_simd.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kMaxShuffles = kWidth / 2;  // a run has at most half a vector's columns

template <typename Weight, int kColumns, int kRows>
void RunShuffleTile(const BlockDiagonalWeights& weights, const Operands& operands, int64_t m,
                    Range groups) {
  typedef int32_t UnalignedInts __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
  Ints mask[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    mask[c] = *reinterpret_cast<const UnalignedInts*>(weights.shuffle.data() + c * kWidth);
  }
  const Weight* w = weights.values.Data(Weight()) + groups.begin * kColumns * kWidth;
  for (int64_t g = groups.begin; g < groups.end; ++g, w += kColumns * kWidth) {
    const int64_t o = g * kWidth;
    const Floats bias = LoadBias(operands.epilogue, o, kWidth);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Floats x = Load(operands.x + (m + r) * weights.in_features + o);
      Floats acc = Splat(0.0f);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        acc += LoadElements(w + c * kWidth) * __builtin_shuffle(x, mask[c]);
      }
      const int64_t index = (m + r) * weights.out_features + o;
      FinishAndStore(operands.epilogue, acc, bias, operands.y, index, kWidth);
    }
  }
}

template <typename Weight, int kColumns>
void RunShuffle(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
                Range groups) {
  constexpr int kMaxRows = 4;
  ForEachChunk(groups, kColumns * kWidth, [&](Range chunk) {
    ForEachTile<kMaxRows>(batch, [&](int64_t m, auto count) {
      RunShuffleTile<Weight, kColumns, decltype(count)::kValue>(weights, operands, m, chunk);
    });
  });
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_
