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
#include <optional>

#include "base/aligned_buffer.h"
#include "base/index_array.h"
#include "base/partition.h"
#include "kernels/weight_array.h"

namespace nfcompile {

struct TileWeights;

// Rows of a unit: few, so that threads can share; but only the segments of a unit are sorted,
// and few of them are worth little.
constexpr int64_t kTileUnitRows = 64;

// What columns of a panel are counted in.
using PanelColumn = uint16_t;

// Four of them, by one load.
struct FourColumns {
  __attribute__((always_inline)) explicit FourColumns(const PanelColumn* columns) {
    __builtin_memcpy(&bits, columns, sizeof(bits));
  }

  __attribute__((always_inline)) int64_t operator[](int i) const {
    constexpr int kBits = 8 * sizeof(PanelColumn);
    return static_cast<int64_t>(bits >> kBits * i & ((1 << kBits) - 1));
  }

  static_assert(4 * sizeof(PanelColumn) == sizeof(uint64_t));
  uint64_t bits;  // little-endian, as all machines that these kernels run on
};

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

  // What some units have in a panel: segments, and their first entry.
  struct Part {
    const TileSegment* begin;
    const TileSegment* end;
    int64_t entry;
  };

  __attribute__((always_inline)) Part At(int64_t panel, Range some) const {
    const Start* start = starts.data() + panel * units;
    return {segments.data() + start[some.begin].segment,
            segments.data() + start[some.end].segment, start[some.begin].entry};
  }

  int64_t panels = 1;
  int64_t panel_columns = 0;
  int64_t units = 0;           // runs of the same rows in every panel, that can be cut apart
  AlignedArray<Start> starts;  // [panels, units], and one behind
  AlignedArray<TileSegment> segments;
  WeightArray values;
  AlignedArray<PanelColumn> columns;
};

// A sparse matrix: row o has the entries indptr[o] .. indptr[o + 1]. Not owned.
struct RowsView {
  const float* values = nullptr;
  IndexArray columns;
  IndexArray indptr;
  int64_t in_features = 0;

  int64_t out_features() const { return indptr.size() - 1; }
};

// Nothing where the panels that are worth their rows' segments have more columns than can be
// counted.
std::optional<TileWeights> PackTileRows(const RowsView& view, Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ROWS_H_
