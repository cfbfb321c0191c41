// Packs CSR weights into panels (for batches) and slices (for one row of x).
#include <algorithm>
#include <numeric>

#include "kernels/csr/csr_kernel.h"

namespace nfcompile {
namespace {

// What a panel of x may fill of the second-level cache (512 KiB and more). The first-level
// cache would hold a quarter of it; the shorter segments that this takes cost more than it
// saves (Zen 3, 2048 x 2048 at density 0.10: 24 KiB 43 GFLOP/s at batch 32 and 25 at batch 8,
// 96 KiB 45 and 32).
constexpr int64_t kPanelBytes = 96 << 10;
// A pass over a panel loads and stores each row's sums; fewer entries do not pay for that.
constexpr double kMinEntriesPerSegment = 12;
constexpr int64_t kMaxPanelColumns = 1 << 16;

int64_t PanelColumns(const CsrView& view, const CsrKernel& kernel) {
  const int64_t in_cache =
      kPanelBytes / static_cast<int64_t>(sizeof(float)) / kernel.batch_tile;
  const double per_row = static_cast<double>(view.nnz) /
                         static_cast<double>(std::max<int64_t>(view.out_features(), 1));
  const double worth = per_row > 0 ? kMinEntriesPerSegment / per_row : 1.0;
  const auto wanted =
      static_cast<int64_t>(std::min(worth, 1.0) * static_cast<double>(view.in_features));
  const int64_t columns = std::clamp<int64_t>(std::max(in_cache, wanted), 1, kMaxPanelColumns);
  // Equal panels, rounded so that transposes work on whole vectors.
  const int64_t panels = std::max<int64_t>(1, (view.in_features + columns - 1) / columns);
  const int64_t even = (view.in_features + panels - 1) / panels;
  return std::clamp<int64_t>((even + kernel.width - 1) / kernel.width * kernel.width, 1,
                             kMaxPanelColumns);
}

CsrPanels PackPanels(const CsrView& view, const CsrKernel& kernel) {
  const int64_t out = view.out_features();
  CsrPanels packed;
  packed.columns = PanelColumns(view, kernel);
  packed.panels =
      std::max<int64_t>(1, (view.in_features + packed.columns - 1) / packed.columns);
  packed.segment = AlignedArray<int64_t>(packed.panels * out + 1);
  packed.row = AlignedArray<uint8_t>(packed.panels * out);
  packed.values = AlignedArray<float>(view.nnz);
  packed.column = AlignedArray<uint16_t>(view.nnz);
  const auto each = [&](auto visit) {
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
        const int64_t index = view.indices[p];
        visit(index / packed.columns * out + o, index % packed.columns, view.values[p]);
      }
    }
  };
  std::vector<int64_t> length(packed.panels * out, 0);  // by panel and row
  each([&](int64_t key, int64_t, float) { ++length[key]; });
  // Lays the segments out, then fills them.
  std::vector<int64_t> next(packed.panels * out);  // by panel and row
  int64_t end = 0;
  for (int64_t panel = 0; panel < packed.panels; ++panel) {
    for (int64_t begin = 0; begin < out; begin += kCsrChunk) {
      std::vector<int64_t> keys(std::min(kCsrChunk, out - begin));
      const int64_t first = panel * out + begin;
      std::iota(keys.begin(), keys.end(), first);
      std::stable_sort(keys.begin(), keys.end(),
                       [&](int64_t a, int64_t b) { return length[a] < length[b]; });
      for (size_t i = 0; i < keys.size(); ++i) {
        packed.segment[first + i] = end;
        packed.row[first + i] = static_cast<uint8_t>(keys[i] - first);
        next[keys[i]] = end;
        end += length[keys[i]];
      }
    }
  }
  packed.segment[packed.panels * out] = end;
  each([&](int64_t key, int64_t column, float value) {
    const int64_t place = next[key]++;
    packed.values[place] = value;
    packed.column[place] = static_cast<uint16_t>(column);
  });
  return packed;
}

class SlicePacker {
 public:
  SlicePacker(const CsrView& view, int width) : view_(view), width_(width) {
    packed_.values = AlignedArray<float>(view.nnz);
    narrow_ = view.in_features <= kMaxPanelColumns;
    if (narrow_) {
      packed_.narrow = AlignedArray<uint16_t>(view.nnz);
    } else {
      packed_.wide = AlignedArray<int32_t>(view.nnz);
    }
  }

  CsrSlices Pack() {
    const int64_t out = view_.out_features();
    packed_.chunk.push_back(0);
    for (int64_t begin = 0; begin < out; begin += kCsrChunk) {
      std::vector<int64_t> rows(std::min(kCsrChunk, out - begin));
      std::iota(rows.begin(), rows.end(), begin);
      std::stable_sort(rows.begin(), rows.end(),
                       [&](int64_t a, int64_t b) { return Length(a) > Length(b); });
      for (size_t i = 0; i < rows.size(); i += width_) {
        const size_t lanes = std::min<size_t>(width_, rows.size() - i);
        AddSlice(rows.data() + i, static_cast<int>(lanes));
      }
      packed_.chunk.push_back(static_cast<int64_t>(packed_.slices.size()));
    }
    return std::move(packed_);
  }

 private:
  int64_t Length(int64_t row) const { return view_.indptr[row + 1] - view_.indptr[row]; }

  void Append(int64_t entry) {
    packed_.values[end_] = view_.values[entry];
    if (narrow_) {
      packed_.narrow[end_] = static_cast<uint16_t>(view_.indices[entry]);
    } else {
      packed_.wide[end_] = static_cast<int32_t>(view_.indices[entry]);
    }
    ++end_;
  }

  void AddSlice(const int64_t* rows, int lanes) {
    CsrSlice slice{};
    slice.lanes = lanes;
    slice.begin = end_;
    // Sorted by descending length: the last lane is the shortest.
    slice.length = lanes == width_ ? static_cast<int32_t>(Length(rows[lanes - 1])) : 0;
    for (int32_t k = 0; k < slice.length; ++k) {
      for (int lane = 0; lane < lanes; ++lane) Append(view_.indptr[rows[lane]] + k);
    }
    slice.rest = end_;
    for (int lane = 0; lane < lanes; ++lane) {
      slice.row[lane] = static_cast<int32_t>(rows[lane]);
      slice.rest_size[lane] = static_cast<int32_t>(Length(rows[lane])) - slice.length;
      for (int32_t k = 0; k < slice.rest_size[lane]; ++k) {
        Append(view_.indptr[rows[lane]] + slice.length + k);
      }
    }
    packed_.slices.push_back(slice);
  }

  const CsrView& view_;
  const int width_;
  bool narrow_;
  int64_t end_ = 0;
  CsrSlices packed_;
};

}  // namespace

CsrWeights PackCsr(const CsrView& view, const CsrKernel& kernel) {
  CsrWeights weights;
  weights.in_features = view.in_features;
  weights.out_features = view.out_features();
  weights.panels = PackPanels(view, kernel);
  weights.slices = SlicePacker(view, kernel.width).Pack();
  return weights;
}

}  // namespace nfcompile
