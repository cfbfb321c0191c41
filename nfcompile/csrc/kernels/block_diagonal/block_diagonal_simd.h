// The block-diagonal kernel of one instruction set: picks the loops of the packed layout.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_

#include "kernels/block_diagonal/blocks_simd.h"
#include "kernels/block_diagonal/rows_simd.h"
#include "kernels/block_diagonal/shuffle_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

void BlockDiagonalTimesMatrix(const BlockDiagonalWeights& weights, const Operands& operands,
                              Range batch, Range groups, float* workspace) {
  switch (weights.layout) {
    case BlockLayout::kBlocks:
      return RunBlocks(weights, operands, batch, groups, workspace);
    case BlockLayout::kShuffle:
      if (weights.block_columns == 1) return RunShuffle<1>(weights, operands, batch, groups);
      if (weights.block_columns == 2) return RunShuffle<2>(weights, operands, batch, groups);
      if (weights.block_columns == 4) return RunShuffle<4>(weights, operands, batch, groups);
      return RunShuffle<kMaxShuffles>(weights, operands, batch, groups);
    case BlockLayout::kRows:
      if (weights.period == 1) return RunRows<1>(weights, operands, batch, groups, workspace);
      if (weights.period == 2) return RunRows<2>(weights, operands, batch, groups, workspace);
      if (weights.period == 4) return RunRows<4>(weights, operands, batch, groups, workspace);
      if constexpr (kWidth == 16) {
        return RunRows<8>(weights, operands, batch, groups, workspace);
      }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_SIMD_H_
