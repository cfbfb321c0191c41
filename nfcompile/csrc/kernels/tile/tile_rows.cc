// Packs unstructured rows for tiles.
#include "kernels/tile/tile_rows.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "base/partition.h"
#include "kernels/tile/tile.h"

namespace nfcompile {
namespace {

// Columns of a panel, and the fewest entries of a row in one: each segment of a row loads and
// stores its sums.
constexpr int64_t kPanelColumns = 448;
constexpr double kMinSegment = 28;
// What a segment costs besides its entries.
constexpr int64_t kSegmentCost = 8;

int64_t PanelColumns(const RowEntries& entries) {
  const int64_t columns = std::max<int64_t>(entries.in_features, 1);
  const double per_row = static_cast<double>(entries.columns.size()) /
                         static_cast<double>(std::max<int64_t>(entries.out_features(), 1));
  int64_t wanted = std::min(kPanelColumns, columns);
  if (per_row * static_cast<double>(wanted) < kMinSegment * static_cast<double>(columns)) {
    const double share = per_row > kMinSegment ? kMinSegment / per_row : 1;
    wanted = static_cast<int64_t>(share * static_cast<double>(columns));
  }
  const int64_t panels = CeilDiv(columns, wanted);
  return CeilDiv(columns, panels);  // equal ones
}

class RowsPacker {
 public:
  RowsPacker(const RowEntries& from, Precision precision)
      : from_(from), rows_(std::make_shared<TileRows>()) {
    rows_->panel_columns = PanelColumns(from);
    rows_->panels = std::max<int64_t>(CeilDiv(from.in_features, rows_->panel_columns), 1);
    rows_->units = CeilDiv(from.out_features(), kTileUnitRows);
    rows_->values = WeightArray(from.values.size(), precision);
    rows_->columns = AlignedArray<PanelColumn>(from.values.size());
  }

  std::shared_ptr<const TileRows> Pack() {
    SortByPanel();
    for (int64_t p = 0; p < rows_->panels; ++p) {
      for (int64_t u = 0; u < rows_->units; ++u) {
        rows_->starts.push_back({static_cast<int64_t>(segments_.size()), entry_});
        AddUnit(p, u * kTileUnitRows, std::min((u + 1) * kTileUnitRows, from_.out_features()));
      }
    }
    rows_->starts.push_back({static_cast<int64_t>(segments_.size()), entry_});
    rows_->segments = AlignedArray<TileSegment>(segments_.size());
    std::copy(segments_.begin(), segments_.end(), rows_->segments.data());
    return std::move(rows_);
  }

 private:
  int64_t PanelOf(int64_t entry) const { return from_.columns[entry] / rows_->panel_columns; }

  // The entries of each row by panel, else in their order.
  void SortByPanel() {
    order_.resize(from_.columns.size());
    std::iota(order_.begin(), order_.end(), int64_t{0});
    next_.assign(from_.indptr.begin(), from_.indptr.end() - 1);
    for (int64_t o = 0; o < from_.out_features(); ++o) {
      std::stable_sort(order_.begin() + from_.indptr[o], order_.begin() + from_.indptr[o + 1],
                       [&](int64_t a, int64_t b) { return PanelOf(a) < PanelOf(b); });
    }
  }

  // Segments of one length follow each other, so that the processor foresees where a loop ends.
  // Where there are none, a row is left out, but for the panels that start and end it.
  void AddUnit(int64_t panel, int64_t begin, int64_t end) {
    std::vector<TileSegment> unit;
    for (int64_t o = begin; o < end; ++o) {
      int64_t last = next_[o];
      while (last < from_.indptr[o + 1] && PanelOf(order_[last]) == panel) ++last;
      const auto count = static_cast<int32_t>(last - next_[o]);
      const bool needed = count > 0 || panel == 0 || panel + 1 == rows_->panels;
      if (needed) unit.push_back({static_cast<int32_t>(o), count});
    }
    std::stable_sort(unit.begin(), unit.end(), [](const TileSegment& a, const TileSegment& b) {
      return a.count > b.count;
    });
    for (const TileSegment& segment : unit) {
      segments_.push_back(segment);
      for (int32_t k = 0; k < segment.count; ++k) {
        const int64_t from = order_[next_[segment.row]++];
        const int64_t column = from_.columns[from] - panel * rows_->panel_columns;
        rows_->values.Set(entry_, from_.values[from]);
        rows_->columns[entry_++] = static_cast<PanelColumn>(column);
      }
    }
  }

  const RowEntries& from_;
  std::shared_ptr<TileRows> rows_;
  std::vector<TileSegment> segments_;
  std::vector<int64_t> order_;
  std::vector<int64_t> next_;  // of each row, into order_
  int64_t entry_ = 0;
};

}  // namespace

bool FitsTileRows(const RowEntries& entries) {
  return PanelColumns(entries) <= int64_t{std::numeric_limits<PanelColumn>::max()} + 1;
}

TileWeights PackTileRows(const RowEntries& entries, Precision precision) {
  TileWeights packed;
  packed.in_features = entries.in_features;
  packed.out_features = entries.out_features();
  packed.rows = RowsPacker(entries, precision).Pack();
  packed.values = WeightArray(0, precision);
  packed.units = packed.rows->units;
  packed.unit_rows = kTileUnitRows;
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  for (int64_t u = 0; u <= packed.units; ++u) {
    const int64_t rows = std::min(u * kTileUnitRows, packed.out_features);
    packed.cost[u] = entries.indptr[rows] + rows * packed.rows->panels * kSegmentCost;
  }
  return packed;
}

}  // namespace nfcompile
