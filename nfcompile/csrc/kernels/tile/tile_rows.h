// Unstructured rows for tiles: the entries of each output row for itself, one panel of columns
// after the other, so that what a pass reads of x stays near.
//
//   yt[o, t] = epilogue(sum over panels p, over entries e of row o in p,
//                       of values[e] xt[p * panel_columns + columns[e], t])
//
// From panel to panel sums wait in y. Where x comes from the second-level cache and values from
// the third, bytes count: 6 an entry, and 8 for each row of a panel.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_ROWS_H_
#define NFCOMPILE_KERNELS_TILE_TILE_ROWS_H_

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/weight_array.h"

namespace nfcompile {

struct TileWeights;

// Rows of a unit: few, so that threads can share; but only the segments of a unit are sorted,
// and few of them are worth little.
constexpr int64_t kTileUnitRows = 64;

// What columns of a panel are counted in.
using PanelColumn = uint16_t;

// The entries of one row in one panel: they follow those of the segment before.
struct TileSegment {
  int32_t row = 0;
  int32_t count = 0;
};

struct TileRows {
  struct Start {
    int64_t segment = 0;
    int64_t entry = 0;
  };

  int64_t panels = 1;
  int64_t panel_columns = 0;
  int64_t units = 0;          // runs of the same rows in every panel, that can be cut apart
  std::vector<Start> starts;  // [panels, units], and one behind
  AlignedArray<TileSegment> segments;
  WeightArray values;
  AlignedArray<PanelColumn> columns;
};

// A sparse matrix by rows: row o has the entries indptr[o] .. indptr[o + 1].
struct RowEntries {
  int64_t in_features = 0;
  std::vector<int64_t> indptr;
  std::vector<int32_t> columns;
  std::vector<float> values;

  int64_t out_features() const { return static_cast<int64_t>(indptr.size()) - 1; }
};

// Whether panels that are worth their rows' segments can be counted in PanelColumn.
bool FitsTileRows(const RowEntries& entries);

TileWeights PackTileRows(const RowEntries& entries, Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ROWS_H_
