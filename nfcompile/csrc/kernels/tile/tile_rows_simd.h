// The tile kernel of tile_rows.h. Loads bound it: four values come by one, and are spread
// within the register; so do their columns, where vectors are whole lines.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_ROWS_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_ROWS_SIMD_H_

#include <type_traits>

#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kQuad = 4;
// Vectors that run together: two lines of a cache for each column that an entry reads.
constexpr int kPass = 2 * kLineBytes / (sizeof(float) * kWidth);

// The columns of four entries. Of short vectors instructions are as scarce as loads.
constexpr bool kWholeLines = kWidth * sizeof(float) >= kLineBytes;
using Four = std::conditional_t<kWholeLines, FourColumns, const PanelColumn*>;

// Lane l of the result is lane l / kQuad * kQuad + kEntry of `quad`.
template <int kEntry>
NFCOMPILE_INLINE Floats SpreadOf(Floats quad) {
  const auto spread = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(quad, quad, (kLane / kQuad * kQuad + kEntry)...);
  };
  return spread(Lanes());
}

template <int kVectors>
NFCOMPILE_INLINE void AddScaled(Floats (&sum)[kVectors], Floats value, const float* x,
                                int64_t vector) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] += value * Load(x + v * vector);
}

// The entries of a segment: values[e], and the columns of x that they scale.
template <int kVectors>
NFCOMPILE_INLINE void AddSegment(Floats (&total)[kVectors], int32_t count, const float* values,
                                 const PanelColumn* columns, const float* x, int64_t row,
                                 int64_t vector) {
  // Independent sums hide the latency of the multiply-add; `total` is the first of them (a copy
  // of it among the others costs 2 %: GCC 12, Zen 4).
  constexpr int kChains = kVectors < kQuad ? kQuad : 2;
  Floats sum[kChains - 1][kVectors] = {};
  int32_t e = 0;
  for (; e + kQuad <= count; e += kQuad) {
    const Floats quad = LoadRepeated<kQuad>(values + e);
    const Four four(columns + e);
    const auto add = [&]<int... kEntry>(std::integer_sequence<int, kEntry...>) {
      (AddScaled(kEntry % kChains == 0 ? total : sum[(kEntry + kChains - 1) % kChains],
                 SpreadOf<kEntry>(quad), x + four[kEntry] * row, vector),
       ...);
    };
    add(std::make_integer_sequence<int, kQuad>());
  }
  for (; e < count; ++e) {
    AddScaled(total, Splat(values[e]), x + columns[e] * row, vector);
  }
#pragma GCC unroll 4
  for (int c = 0; c + 1 < kChains; ++c) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) total[v] += sum[c][v];
  }
}

// kVectors vectors of a tile, from `first` on. kRow, kVector: as in the shape of x, or 0.
template <int kVectors, int kRow, int kVector>
AnyNonZero RunRowsOf(const TileRows& rows, const TileOperands& operands, Range units,
                     int first) {
  AnyNonZero any;  // a result, since an argument would have to lie in memory
  // Local copies: a store could change anything else.
  const int64_t x_row = kRow > 0 ? kRow : operands.x_shape.row;
  const int64_t x_vector = kVector > 0 ? kVector : operands.x_shape.vector;
  const int64_t y_row = operands.y_shape.row;
  const int64_t y_vector = operands.y_shape.vector;
  const float* const whole = static_cast<const float*>(operands.x) + first * x_vector;
  float* const y = static_cast<float*>(operands.y) + first * y_vector;
  const TileEpilogue<LanesInOrder<float>> epilogue(operands);
  for (int64_t p = 0; p < rows.panels; ++p) {
    const bool starts = p == 0;
    const bool finishes = p + 1 == rows.panels;
    const float* x = whole + p * rows.panel_columns * x_row;
    asm("" : "+r"(x));  // one register: the compiler would add its parts for each entry
    const TileRows::Part part = rows.At(p, units);
    const float* values = rows.values.Data(float()) + part.entry;
    const PanelColumn* columns = rows.columns.data() + part.entry;
    for (const TileSegment* segment = part.begin; segment != part.end; ++segment) {
      const int64_t row = segment->row;
      const int32_t count = segment->count;
      float* const at = y + row * y_row;
      Floats total[1][kVectors] = {};
      if (!starts) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) total[0][v] = Load(at + v * y_vector);
      }
      AddSegment<kVectors>(total[0], count, values, columns, x, x_row, x_vector);
      values += count;
      columns += count;
      if (finishes) {
        epilogue.template Rows<1, kVectors>(&segment->row, first, total, any);
        continue;
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) Store(at + v * y_vector, total[0][v]);
    }
  }
  return any;
}

template <int kVectors>
AnyNonZero RunVectors(const TileRows& rows, const TileOperands& operands, Range units,
                      int first) {
  const TileShape& shape = operands.x_shape;
  constexpr int kAll = kVectors * kWidth;
  if (shape.row == kWidth) {
    return RunRowsOf<kVectors, kWidth, 0>(rows, operands, units, first);
  }
  if (kVectors > 1 && shape.row == kAll && shape.vector == kWidth) {
    return RunRowsOf<kVectors, kAll, kWidth>(rows, operands, units, first);
  }
  return RunRowsOf<kVectors, 0, 0>(rows, operands, units, first);
}

bool RunRows(const TileWeights& weights, const TileOperands& operands, Range units) {
  const int vectors = operands.x_shape.vectors;
  AnyNonZero any;
  int v = 0;
  for (; v + kPass <= vectors; v += kPass) {
    any.Add(RunVectors<kPass>(*weights.rows, operands, units, v));
  }
  if constexpr (kPass > 2) {
    if (v + 2 <= vectors) {
      any.Add(RunVectors<2>(*weights.rows, operands, units, v));
      v += 2;
    }
  }
  if (v < vectors) any.Add(RunVectors<1>(*weights.rows, operands, units, v));
  return any.Found();
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ROWS_SIMD_H_
