// Tiles through generated code: see generated/generated_rows.h.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_

#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

bool RunGenerated(const TileWeights& weights, const TileOperands& operands, Range blocks) {
  static_assert(kGeneratedLanes == kWidth);
  const GeneratedRows& code = *weights.generated;
  const float* bias = operands.epilogue.bias;
  const auto* x = static_cast<const float*>(operands.x);
  const int vectors = operands.x_shape.vectors;
  AnyNonZero any;
  for (int64_t b = blocks.begin; b < blocks.end; ++b) {
    const int64_t first = b * kGeneratedRows;
    const int64_t left = weights.out_features - first;
    const int64_t rows = left < kGeneratedRows ? left : kGeneratedRows;
    float sums[kMaxTileVectors][kGeneratedRows * kWidth] __attribute__((aligned(64)));
    for (int64_t r = 0; r < rows; ++r) {
      const Floats start = Splat(bias == nullptr ? 0.0f : bias[first + r]);
      for (int v = 0; v < vectors; ++v) Store(sums[v] + r * kWidth, start);
    }
    for (int64_t p = 0; p < code.panels(); ++p) {
      for (int v = 0; v < vectors; ++v) {
        code.Run(b, p, x + v * operands.x_shape.vector, sums[v]);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int v = 0; v < vectors; ++v) {
        const Floats y = FinishTileVector<float>(operands, Load(sums[v] + r * kWidth),
                                                 first + r, v);
        any.Add(y);
        const TileShape& to = operands.y_shape;
        Store(static_cast<float*>(operands.y) + (first + r) * to.row + v * to.vector, y);
      }
    }
  }
  return any.Found();
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
