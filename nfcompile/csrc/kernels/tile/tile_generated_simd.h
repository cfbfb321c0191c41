// Tiles through generated code: see generated/generated_rows.h.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_

#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int64_t kBlockSums = kGeneratedRows * kWidth;

// Whether what follows the sums is part of the code, but for the residual, which they start
// from.
NFCOMPILE_INLINE bool EndsInCode(const TileOperands& operands) {
  const Epilogue& epilogue = operands.epilogue;
  if (epilogue.activation == Activation::kNone) return true;
  const bool after = operands.residual != nullptr && epilogue.residual_after_activation;
  return epilogue.activation == Activation::kRelu && !after;
}

// The residual and the bias of vector v, for `rows` outputs from `first` on.
NFCOMPILE_INLINE void StartSums(const TileOperands& operands, const float* bias, int64_t first,
                                int64_t rows, int v, float* sums) {
  const TileShape& shape = operands.residual_shape;
  const auto* residual = static_cast<const float*>(operands.residual) + v * shape.vector;
  for (int64_t r = 0; r < rows; ++r) {
    Store(sums + r * kWidth, Load(residual + (first + r) * shape.row) + Splat(bias[r]));
  }
}

bool RunGenerated(const TileWeights& weights, const TileOperands& operands, Range blocks) {
  static_assert(kGeneratedLanes == kWidth);
  static constexpr float kNoBias[kGeneratedRows] = {};
  const GeneratedRows& code = *weights.generated;
  const auto* x = static_cast<const float*>(operands.x);
  const TileShape& to = operands.y_shape;
  const int vectors = operands.x_shape.vectors;
  const bool in_code = EndsInCode(operands);
  const bool relu = operands.epilogue.activation == Activation::kRelu;
  const Tail last_tail = !in_code ? Tail::kSums : relu ? Tail::kRelu : Tail::kStore;
  const bool starts_from_sums = in_code && operands.residual != nullptr;
  AnyNonZero any;
  bool found = false;
  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    const int64_t first = b * code.block_rows();
    const int64_t left = weights.out_features - first;
    const int64_t rows = left < code.block_rows() ? left : code.block_rows();
    const float* all = operands.epilogue.bias;
    const float* bias = all == nullptr ? kNoBias : all + first;
    float* y = static_cast<float*>(operands.y) + first * to.row;
    float sums[kMaxTileVectors][kBlockSums] __attribute__((aligned(64)));
    for (int v = 0; v < vectors && starts_from_sums; ++v) {
      StartSums(operands, bias, first, rows, v, sums[v]);
    }
    for (int64_t p = 0; p < code.panels(); ++p) {
      const bool last = in_code && p + 1 == code.panels();
      const bool from_sums = p > 0 || starts_from_sums;
      for (int v = 0; v < vectors; ++v) {
        const GeneratedRows::Ends ends{.head = from_sums ? Head::kSums : Head::kRow,
                                       .tail = last ? last_tail : Tail::kSums,
                                       .from = from_sums ? sums[v] : bias,
                                       .to = last ? y + v * to.vector : sums[v],
                                       .stride = to.row * static_cast<int64_t>(sizeof(float))};
        const bool nonzero = code.Run(b, p, x + v * operands.x_shape.vector, ends);
        found |= last && nonzero;
      }
    }
    for (int64_t r = 0; r < rows && !in_code; ++r) {
      for (int v = 0; v < vectors; ++v) {
        const Floats sum = Load(sums[v] + r * kWidth);
        const Floats value = FinishTileVector<float>(operands, sum, first + r, v);
        any.Add(value);
        Store(y + r * to.row + v * to.vector, value);
      }
    }
  }
  return found || any.Found();
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
