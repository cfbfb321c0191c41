// The block-diagonal kernel of one instruction set: picks the loops of the packed layout.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_

#include "kernels/block_diagonal/blocks_simd.h"
#include "kernels/block_diagonal/rows_simd.h"
#include "kernels/block_diagonal/shuffle_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

template <typename Weight>
void RunLayout(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
               Range groups, float* workspace) {
  switch (weights.layout) {
    case BlockLayout::kBlocks:
      return RunBlocks<WideLanes<Weight>>(weights, operands, batch, groups, workspace);
    case BlockLayout::kShuffle: {
      const int64_t columns = weights.block_columns;
      if (columns == 1) return RunShuffle<Weight, 1>(weights, operands, batch, groups);
      if (columns == 2) return RunShuffle<Weight, 2>(weights, operands, batch, groups);
      if (columns == 4) return RunShuffle<Weight, 4>(weights, operands, batch, groups);
      return RunShuffle<Weight, kMaxShuffles>(weights, operands, batch, groups);
    }
    case BlockLayout::kRows: {
      const int64_t period = weights.period;
      if (period == 1)
        return RunRows<WidePanel<Weight, 1>>(weights, operands, batch, groups, workspace);
      if (period == 2)
        return RunRows<WidePanel<Weight, 2>>(weights, operands, batch, groups, workspace);
      if (period == 4)
        return RunRows<WidePanel<Weight, 4>>(weights, operands, batch, groups, workspace);
      if constexpr (kWidth == 16) {
        return RunRows<WidePanel<Weight, 8>>(weights, operands, batch, groups, workspace);
      }
    }
  }
}

void BlockDiagonalTimesMatrix(const BlockDiagonalWeights& weights, const Operands& operands,
                              Range batch, Range groups, float* workspace) {
  if (weights.values.precision() == Precision::kBfloat16) {
    RunLayout<uint16_t>(weights, operands, batch, groups, workspace);
  } else {
    RunLayout<float>(weights, operands, batch, groups, workspace);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_
