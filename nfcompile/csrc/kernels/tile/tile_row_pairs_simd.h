// The kernel of tile_rows.h for bf16, by the dot product of pairs (tile_pairs_simd.h): entries
// of a row in pairs.
//
// y cannot hold sums that wait. So a few units of rows at a time go through all panels, and
// their sums wait beside, in 32 KiB (on Zen 4 half as many are 1 % slower, more no faster; one
// unit of one vector is 4 % slower).
#ifndef NFCOMPILE_KERNELS_TILE_TILE_ROW_PAIRS_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_ROW_PAIRS_SIMD_H_

#include "kernels/tile/tile_pairs_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// The entries of a segment. kRow: elements from one column of x to the next.
template <int kVectors, int64_t kRow>
NFCOMPILE_INLINE void AddSegmentPairs(Floats (&total)[kVectors], int32_t count,
                                      const uint16_t* values, const PanelColumn* columns,
                                      const uint16_t* x) {
  static constexpr uint16_t kZeros[kVectors * kWidth] __attribute__((aligned(64))) = {};
  // Independent sums hide the latency of the dot product.
  constexpr int kChains = kVectors == 1 ? 4 : 2;
  Floats sum[kChains][kVectors] = {};
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[0][v] = total[v];
  const auto add = [](Floats(&sums)[kVectors], const uint16_t* first, const uint16_t* second,
                      __m512i w) __attribute__((always_inline)) {
    __m512i pairs[kVectors];
    LoadPairs<kVectors>(first, second, pairs);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[v] = AddPairs(sums[v], pairs[v], w);
  };
  int32_t e = 0;
  for (; e + 2 * kChains <= count; e += 2 * kChains) {
#pragma GCC unroll 2
    for (int c = 0; c < kChains; c += 2) {
      const int32_t at = e + 2 * c;
      const FourColumns four(columns + at);
      add(sum[c], x + four[0] * kRow, x + four[1] * kRow, SplatPair(values + at));
      add(sum[c + 1], x + four[2] * kRow, x + four[3] * kRow, SplatPair(values + at + 2));
    }
  }
  for (; e + 2 <= count; e += 2) {
    add(sum[0], x + columns[e] * kRow, x + columns[e + 1] * kRow, SplatPair(values + e));
  }
  if (e < count) add(sum[0], x + columns[e] * kRow, kZeros, _mm512_set1_epi32(values[e]));
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    total[v] = sum[0][v];
#pragma GCC unroll 4
    for (int c = 1; c < kChains; ++c) total[v] += sum[c][v];
  }
}

template <int kVectors>
constexpr int64_t kUnitsTogether = 8 / kVectors;

// The units `units`, at most so many, of all panels.
template <int kVectors>
AnyNonZero RunUnitPairs(const TileRows& rows, const TileOperands& operands, Range units) {
  AnyNonZero any;
  constexpr int64_t kRow = kVectors * kWidth;
  const TileEpilogue<LanesOfPairs> epilogue(operands);
  float sums[kUnitsTogether<kVectors> * kTileUnitRows][kRow] __attribute__((aligned(64)));
  const int64_t first = units.begin * kTileUnitRows;
  for (int64_t p = 0; p < rows.panels; ++p) {
    const bool starts = p == 0;
    const bool finishes = p + 1 == rows.panels;
    const auto* x = static_cast<const uint16_t*>(operands.x) + p * rows.panel_columns * kRow;
    const TileRows::Part part = rows.At(p, units);
    const uint16_t* values = rows.values.Data(uint16_t()) + part.entry;
    const PanelColumn* columns = rows.columns.data() + part.entry;
    for (const TileSegment* segment = part.begin; segment != part.end; ++segment) {
      const int64_t row = segment->row;
      const int32_t count = segment->count;
      float* const waiting = sums[row - first];
      Floats total[1][kVectors] = {};
      if (!starts) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) total[0][v] = Load(waiting + v * kWidth);
      }
      AddSegmentPairs<kVectors, kRow>(total[0], count, values, columns, x);
      values += count;
      columns += count;
      if (finishes) {
        epilogue.template Rows<1, kVectors>(&segment->row, 0, total, any);
        continue;
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) Store(waiting + v * kWidth, total[0][v]);
    }
  }
  return any;
}

template <int kVectors>
bool RunAllPairs(const TileRows& rows, const TileOperands& operands, Range units) {
  AnyNonZero any;
  constexpr int64_t kStep = kUnitsTogether<kVectors>;
  for (int64_t u = units.begin; u < units.end; u += kStep) {
    const int64_t end = u + kStep < units.end ? u + kStep : units.end;
    any.Add(RunUnitPairs<kVectors>(rows, operands, {u, end}));
  }
  return any.Found();
}

bool RunRowPairs(const TileWeights& weights, const TileOperands& operands, Range units) {
  switch (operands.x_shape.vectors) {
    case 1:
      return RunAllPairs<1>(*weights.rows, operands, units);
    case 2:
      return RunAllPairs<2>(*weights.rows, operands, units);
    default:
      return RunAllPairs<4>(*weights.rows, operands, units);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ROW_PAIRS_SIMD_H_
