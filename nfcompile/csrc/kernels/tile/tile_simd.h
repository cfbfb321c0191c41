// The tile kernel of one instruction set: see tile.h for the equation. Elements are float, or
// bf16 bits that are widened and multiplied as floats.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/precision.h"
#include "kernels/tile/tile_images_simd.h"
#include "kernels/tile/tile_pack_simd.h"
#include "kernels/tile/tile_strips_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// A product in fp32, of tiles of E.
template <typename E>
struct Fp32Product {
  using Element = E;
  using Lanes = LanesInOrder<E>;
  using Vector = Floats;

  static NFCOMPILE_INLINE Floats MultiplyAdd(Floats sum, Floats x, Floats weight) {
    return sum + weight * x;
  }
};

// Entry k of a group: values [k][r].
struct FloatProduct : Fp32Product<float> {
  static constexpr int kColumns = 1;
  static constexpr int kVectorsPerEntry = 1;
  static constexpr bool kCostlyLoad = false;

  template <int kVectors>
  static NFCOMPILE_INLINE void LoadEntry(const float* x, const int32_t* columns,
                                         const TileShape& shape, Floats (&to)[kVectors]) {
    // Rows of whole lines lie one behind the other: see TileKernel::Shape.
    constexpr bool kLines = kWidth * sizeof(float) >= kLineBytes;
    const float* column = x + columns[0] * (kLines ? int64_t{kWidth} : shape.row);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) to[v] = Load(column + v * shape.vector);
  }

  static NFCOMPILE_INLINE Floats Weight(const float* values, int r, int) {
    return Splat(values[r]);
  }
};

// Entries k and k + 1 of a group: values [r][2].
struct WidenedProduct : Fp32Product<uint16_t> {
  static constexpr int kColumns = 2;
  static constexpr int kVectorsPerEntry = 2;
  static constexpr bool kCostlyLoad = true;

  template <int kVectors>
  static NFCOMPILE_INLINE void LoadEntry(const uint16_t* x, const int32_t* columns,
                                         const TileShape& shape, Floats (&to)[2 * kVectors]) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        to[i * kVectors + v] = Widen(x + columns[i] * shape.row + v * kWidth);
      }
    }
  }

  static NFCOMPILE_INLINE Floats Weight(const uint16_t* values, int r, int i) {
    return Splat(FromBfloat16(values[2 * r + i]));
  }
};

template <typename Product>
bool RunTile(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int vectors = operands.x_shape.vectors;
  bool any = false;
  int v = 0;
  for (; v + kTableVectors <= vectors; v += kTableVectors) {
    any |= RunGroups<Product, kTableVectors>(weights, operands, groups, v);
  }
  if constexpr (Product::kColumns == 1) {  // of bf16 there are 1, 2 or 4
    if (vectors - v == 3) return any | RunGroups<Product, 3>(weights, operands, groups, v);
  }
  switch (vectors - v) {
    case 2:
      return any | RunGroups<Product, 2>(weights, operands, groups, v);
    case 1:
      return any | RunGroups<Product, 1>(weights, operands, groups, v);
    default:
      return any;
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_
