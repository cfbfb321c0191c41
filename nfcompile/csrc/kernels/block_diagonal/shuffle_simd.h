// Block-diagonal products whose interleaved runs fit in a vector (BlockLayout::kShuffle):
//
//   y[m, g W + lane] = sum_c w[g, c][lane] x[m, g W + shuffle[c][lane]]
//
// One load of x serves all its uses; the columns are picked by shuffles in registers.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_

#include "kernels/block_diagonal/block_diagonal_kernel.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kMaxShuffles = kWidth / 2;  // a run has at most half a vector's columns

template <int kColumns>
void RunShuffle(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
                Range groups) {
  typedef int32_t UnalignedInts __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
  Ints mask[kColumns];
  for (int c = 0; c < kColumns; ++c) {
    mask[c] = *reinterpret_cast<const UnalignedInts*>(weights.shuffle.data() + c * kWidth);
  }
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    Floats w[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      w[c] = Load(weights.values.data() + (g * kColumns + c) * kWidth);
    }
    const int64_t o = g * kWidth;
    const Floats bias = LoadBias(operands.epilogue, o, kWidth);
    for (int64_t m = batch.begin; m < batch.end; ++m) {
      const Floats x = Load(operands.x + m * weights.in_features + o);
      Floats acc = Splat(0.0f);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) acc += w[c] * __builtin_shuffle(x, mask[c]);
      const int64_t index = m * weights.out_features + o;
      FinishAndStore(operands.epilogue, acc, bias, operands.y, index, kWidth);
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_SHUFFLE_SIMD_H_
