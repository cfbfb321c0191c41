// The readable twin of the kernels of tile_rows.h.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_ROWS_SCALAR_H_
#define NFCOMPILE_KERNELS_TILE_TILE_ROWS_SCALAR_H_

#include <vector>

#include "kernels/tile/tile_scalar.h"

namespace nfcompile {

// One unit, of all panels.
template <typename Element>
bool ScalarRunUnit(const TileRows& rows, const TileOperands& operands, int64_t unit) {
  const int64_t tile = operands.x_shape.vectors * kScalarTile;
  const auto* x = static_cast<const Element*>(operands.x);
  std::vector<float> sums(kTileUnitRows * tile);
  bool any = false;
  for (int64_t p = 0; p < rows.panels; ++p) {
    const TileRows::Part part = rows.At(p, {unit, unit + 1});
    int64_t entry = part.entry;
    for (const TileSegment* segment = part.begin; segment != part.end; ++segment) {
      const int64_t row = segment->row;
      for (int64_t t = 0; t < tile; ++t) {
        float& sum = sums[(row - unit * kTileUnitRows) * tile + t];
        for (int64_t e = entry; e < entry + segment->count; ++e) {
          const int64_t column = p * rows.panel_columns + rows.columns[e];
          sum += rows.values.Get(e) * ToFloat(x[ScalarAt(operands.x_shape, column, t)]);
        }
        if (p + 1 == rows.panels) any |= ScalarFinish<Element>(operands, row, t, sum);
      }
      entry += segment->count;
    }
  }
  return any;
}

template <typename Element>
bool ScalarRunRows(const TileWeights& weights, const TileOperands& operands, Range units) {
  bool any = false;
  for (int64_t u = units.begin; u < units.end; ++u) {
    any |= ScalarRunUnit<Element>(*weights.rows, operands, u);
  }
  return any;
}

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ROWS_SCALAR_H_
