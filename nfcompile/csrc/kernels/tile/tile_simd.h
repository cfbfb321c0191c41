// The tile kernel of one instruction set: see tile.h for the equation. Elements are float, or
// bf16 bits that are widened and multiplied as floats.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/precision.h"
#include "kernels/tile/tile_epilogue_simd.h"
#include "kernels/tile/tile_images_simd.h"
#include "kernels/tile/tile_pack_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Sums that are kept in registers: of 32 half, the rest is for x, weights and constants; of 16
// as many as leave room for three vectors of x and a weight.
#if defined(__AVX512F__)
constexpr int kTileSums = 16;
#else
constexpr int kTileSums = 12;
#endif

template <int kRows, int kVectors>
NFCOMPILE_INLINE void AddColumn(Floats (&acc)[kRows][kVectors], const float* values,
                                const Floats (&x)[kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const Floats value = Splat(values[r]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] += value * x[v];
  }
}

// Entry k of a group: values [k][r].
template <int kRows, int kVectors>
NFCOMPILE_INLINE void AddEntry(Floats (&acc)[kRows][kVectors], const float* values,
                               const int32_t* columns, const float* x, const TileShape& shape) {
  // Rows of whole lines lie one behind the other: see TileKernel::Shape.
  constexpr bool kLines = kWidth * sizeof(float) >= kLineBytes;
  const float* column = x + columns[0] * (kLines ? int64_t{kWidth} : shape.row);
  Floats vectors[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) vectors[v] = Load(column + v * shape.vector);
  AddColumn<kRows, kVectors>(acc, values, vectors);
}

// Entries k and k + 1 of a group: values [r][2].
template <int kRows, int kVectors>
NFCOMPILE_INLINE void AddEntry(Floats (&acc)[kRows][kVectors], const uint16_t* values,
                               const int32_t* columns, const uint16_t* x,
                               const TileShape& shape) {
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    Floats vectors[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      vectors[v] = Widen(x + columns[i] * shape.row + v * kWidth);
    }
    float column[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) column[r] = FromBfloat16(values[2 * r + i]);
    AddColumn<kRows, kVectors>(acc, column, vectors);
  }
}

template <typename Element>
constexpr int kEntryColumns = sizeof(Element) == 4 ? 1 : 2;

// kRows outputs for kVectors vectors of the tile, from vector `first` on.
template <typename Element, int kRows, int kVectors>
NFCOMPILE_INLINE void RunStrip(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, int first, AnyNonZero& any) {
  // Independent sums hide the latency of the multiply-add where the block is small.
  constexpr int kWanted = kTileSums / 2 / (kRows * kVectors);
  constexpr int kChains = kWanted >= 4 ? 4 : kWanted >= 2 ? 2 : 1;
  constexpr int kStep = kEntryColumns<Element>;
  Floats acc[kChains][kRows][kVectors] = {};
  const Element* values = weights.values.Data(Element()) + group.value;
  const int32_t* columns = weights.columns.data() + group.column;
  const TileShape& shape = operands.x_shape;
  const Element* x = static_cast<const Element*>(operands.x) + first * shape.vector;
  int32_t k = 0;
  for (; k + kChains * kStep <= group.count; k += kChains * kStep) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      AddEntry<kRows, kVectors>(acc[c], values + (k + c * kStep) * kRows,
                                columns + k + c * kStep, x, shape);
    }
  }
  for (; k < group.count; k += kStep) {
    AddEntry<kRows, kVectors>(acc[0], values + k * kRows, columns + k, x, shape);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const float* bias = operands.epilogue.bias;
    const Floats shift = Splat(bias == nullptr ? 0.0f : bias[group.row[r]]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Floats sum = acc[0][r][v];
#pragma GCC unroll 4
      for (int c = 1; c < kChains; ++c) sum += acc[c][r][v];
      const TileShape& to = operands.y_shape;
      const int64_t at = group.row[r] * to.row + (first + v) * to.vector;
      const Floats y =
          FinishTileVector<Element>(operands, sum + shift, group.row[r], first + v);
      any.Add(y);
      StoreTileVector<Element>(operands, at, y);
    }
  }
}

// All vectors of the tile, in the fewest strips that the registers hold sums for.
template <typename Element, int kRows, int kVectors>
NFCOMPILE_INLINE void RunGroup(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, int first, AnyNonZero& any) {
  constexpr int kMost = kTileSums / kRows;
  constexpr int kStrips = (kVectors + kMost - 1) / kMost;
  constexpr int kStrip = (kVectors + kStrips - 1) / kStrips;
  RunStrip<Element, kRows, kStrip>(weights, operands, group, first, any);
  if constexpr (kStrip < kVectors) {
    RunGroup<Element, kRows, kVectors - kStrip>(weights, operands, group, first + kStrip, any);
  }
}

template <typename Element, int kVectors>
bool RunGroups(const TileWeights& weights, const TileOperands& operands, Range groups,
               int first = 0) {
  AnyNonZero any;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const TileGroup& group = weights.groups.data()[g];
    if (group.rows == 8) {
      RunGroup<Element, 8, kVectors>(weights, operands, group, first, any);
    } else if (group.rows == 4) {
      RunGroup<Element, 4, kVectors>(weights, operands, group, first, any);
    } else if (group.rows == 2) {
      RunGroup<Element, 2, kVectors>(weights, operands, group, first, any);
    } else {
      RunGroup<Element, 1, kVectors>(weights, operands, group, first, any);
    }
  }
  return any.Found();
}

template <typename Element>
bool RunTile(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int vectors = operands.x_shape.vectors;
  bool any = false;
  int v = 0;
  for (; v + kTableVectors <= vectors; v += kTableVectors) {
    any |= RunGroups<Element, kTableVectors>(weights, operands, groups, v);
  }
  if constexpr (sizeof(Element) == sizeof(float)) {  // of bf16 there are 1, 2 or 4
    if (vectors - v == 3) return any | RunGroups<Element, 3>(weights, operands, groups, v);
  }
  switch (vectors - v) {
    case 2:
      return any | RunGroups<Element, 2>(weights, operands, groups, v);
    case 1:
      return any | RunGroups<Element, 1>(weights, operands, groups, v);
    default:
      return any;
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_SIMD_H_
