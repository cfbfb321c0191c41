// Norms of tiles (norm/norm.h): lanes are batch rows, so that sums over features stay in lanes.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_NORM_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_NORM_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// The sum over features of term(f), in several chains that hide the latency of additions.
template <typename Term>
NFCOMPILE_INLINE Floats SumOverFeatures(int64_t features, Term term) {
  constexpr int kChains = 4;
  Floats sums[kChains] = {};
  int64_t f = 0;
  for (; f + kChains <= features; f += kChains) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) sums[c] += term(f + c);
  }
  for (; f < features; ++f) sums[0] += term(f);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <typename From, typename To>
void NormalizeVector(const TileNorm& operands, int64_t v) {
  const NormView& norm = operands.norm;
  const int64_t features = norm.features;
  const From* x = static_cast<const From*>(operands.x) + v * operands.x_shape.vector;
  To* y = static_cast<To*>(operands.y) + v * operands.y_shape.vector;
  const auto load = [&](int64_t f) { return LoadElements(x + f * operands.x_shape.row); };
  const Floats count = Splat(static_cast<float>(features));
  Floats mean = {};
  if (norm.centered) mean = SumOverFeatures(features, load) / count;
  const Floats variance = SumOverFeatures(features,
                                          [&](int64_t f) {
                                            const Floats centered = load(f) - mean;
                                            return centered * centered;
                                          }) /
                          count;
  Floats factor;
  for (int l = 0; l < kWidth; ++l) {
    factor[l] = 1 / __builtin_sqrtf(variance[l] + norm.epsilon);
  }
  for (int64_t f = 0; f < features; ++f) {
    const Floats shift = Splat(norm.bias == nullptr ? 0.0f : norm.bias[f]);
    const Floats scaled = (load(f) - mean) * factor * Splat(norm.scale[f]);
    StoreElements(y + f * operands.y_shape.row, scaled + shift);
  }
}

template <typename Element>
void NormalizeTile(const TileNorm& operands, Range vectors) {
  for (int64_t v = vectors.begin; v < vectors.end; ++v) {
    if (operands.x_is_float && operands.y_is_float) {
      NormalizeVector<float, float>(operands, v);
    } else if (operands.x_is_float) {
      NormalizeVector<float, Element>(operands, v);
    } else if (operands.y_is_float) {
      NormalizeVector<Element, float>(operands, v);
    } else {
      NormalizeVector<Element, Element>(operands, v);
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_NORM_SIMD_H_
