// Packs unstructured rows for tiles.
#include "kernels/tile/tile_rows.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/tile/tile.h"

namespace nfcompile {
namespace {

// Columns of a panel, and the fewest entries of a row in one: each segment of a row loads and
// stores its sums. (Timed with others built in; Zen 4, four layers 2048 x 2048 in ONNX Runtime,
// us, panels of 683, 512, 410, 342 and 256 columns: at density 0.10 and batch 16 901, 867, 865,
// 878, 897, at 64 3659, 3392, 3250, 3271, 3211; at density 0.05 433, 450, 474, 496, 549 and
// 1655, 1589, 1567, 1605, 1694.)
constexpr int64_t kPanelColumns = 448;
constexpr double kMinSegment = 28;
// What a segment costs besides its entries: a guess, for sharing out only.
constexpr int64_t kSegmentCost = 8;
constexpr int64_t kMostColumns = int64_t{std::numeric_limits<PanelColumn>::max()} + 1;

int64_t PanelColumns(const RowsView& view) {
  const int64_t columns = std::max<int64_t>(view.in_features, 1);
  const double per_row = static_cast<double>(view.columns.size()) /
                         static_cast<double>(std::max<int64_t>(view.out_features(), 1));
  int64_t wanted = std::min(kPanelColumns, columns);
  if (per_row * static_cast<double>(wanted) < kMinSegment * static_cast<double>(columns)) {
    const double share = per_row > kMinSegment ? kMinSegment / per_row : 1;
    wanted = static_cast<int64_t>(share * static_cast<double>(columns));
  }
  return CeilDiv(columns, CeilDiv(columns, wanted));  // equal ones
}

class RowsPacker {
 public:
  RowsPacker(const RowsView& view, int64_t panel_columns, Precision precision)
      : view_(view), rows_(std::make_shared<TileRows>()) {
    rows_->panel_columns = panel_columns;
    rows_->panels = std::max<int64_t>(CeilDiv(view.in_features, panel_columns), 1);
    rows_->units = CeilDiv(view.out_features(), kTileUnitRows);
    rows_->values = WeightArray(view.columns.size(), precision);
    rows_->columns = AlignedArray<PanelColumn>(view.columns.size());
    rows_->starts = AlignedArray<TileRows::Start>(rows_->panels * rows_->units + 1);
  }

  std::shared_ptr<const TileRows> Pack() {
    SortByPanel();
    TileRows::Start* start = rows_->starts.data();
    for (int64_t p = 0; p < rows_->panels; ++p) {
      for (int64_t u = 0; u < rows_->units; ++u) {
        *start++ = {static_cast<int64_t>(segments_.size()), entry_};
        AddUnit(p, u * kTileUnitRows, std::min((u + 1) * kTileUnitRows, view_.out_features()));
      }
    }
    *start = {static_cast<int64_t>(segments_.size()), entry_};
    rows_->segments = AlignedArray<TileSegment>(segments_.size());
    std::copy(segments_.begin(), segments_.end(), rows_->segments.data());
    return std::move(rows_);
  }

 private:
  int64_t PanelOf(int64_t entry) const { return view_.columns[entry] / rows_->panel_columns; }

  // The entries of each row by panel, else in their order.
  void SortByPanel() {
    order_.resize(view_.columns.size());
    std::iota(order_.begin(), order_.end(), int64_t{0});
    const auto before = [&](int64_t a, int64_t b) { return PanelOf(a) < PanelOf(b); };
    for (int64_t o = 0; o < view_.out_features(); ++o) {
      const auto begin = order_.begin() + view_.indptr[o];
      const auto end = order_.begin() + view_.indptr[o + 1];
      if (!std::is_sorted(begin, end, before)) std::stable_sort(begin, end, before);
      next_.push_back(view_.indptr[o]);
    }
  }

  // Segments of one length follow each other, so that the processor foresees where a loop ends.
  // Where there are none, a row is left out, but for the panels that start and end it.
  void AddUnit(int64_t panel, int64_t begin, int64_t end) {
    std::vector<TileSegment> unit;
    for (int64_t o = begin; o < end; ++o) {
      int64_t last = next_[o];
      while (last < view_.indptr[o + 1] && PanelOf(order_[last]) == panel) ++last;
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
        const int64_t column = view_.columns[from] - panel * rows_->panel_columns;
        rows_->values.Set(entry_, view_.values[from]);
        rows_->columns[entry_++] = static_cast<PanelColumn>(column);
      }
    }
  }

  const RowsView& view_;
  std::shared_ptr<TileRows> rows_;
  std::vector<TileSegment> segments_;
  std::vector<int64_t> order_;
  std::vector<int64_t> next_;  // of each row, into order_
  int64_t entry_ = 0;
};

}  // namespace

std::optional<TileWeights> PackTileRows(const RowsView& view, Precision precision) {
  const int64_t panel_columns = PanelColumns(view);
  if (panel_columns > kMostColumns) return std::nullopt;
  TileWeights packed;
  packed.in_features = view.in_features;
  packed.out_features = view.out_features();
  packed.rows = RowsPacker(view, panel_columns, precision).Pack();
  packed.values = WeightArray(0, precision);
  packed.units = packed.rows->units;
  packed.unit_rows = kTileUnitRows;
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  for (int64_t u = 0; u <= packed.units; ++u) {
    const int64_t rows = std::min(u * kTileUnitRows, packed.out_features);
    packed.cost[u] = view.indptr[rows] + rows * packed.rows->panels * kSegmentCost;
  }
  return packed;
}

}  // namespace nfcompile
