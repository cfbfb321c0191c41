// Packs CSR weights into slices, for one row of x.
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/csr/csr_kernel.h"

namespace nfcompile {
namespace {

constexpr int64_t kMaxNarrowColumns = 1 << 16;

class SlicePacker {
 public:
  SlicePacker(const CsrView& view, int width, Precision precision)
      : view_(view), width_(width) {
    packed_.in_features = view.in_features;
    packed_.out_features = view.out_features();
    packed_.values = WeightArray(view.nnz, precision);
    narrow_ = view.in_features <= kMaxNarrowColumns;
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
      const std::vector<int32_t> rows = ChunkByLength(view_, begin);
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
    packed_.values.Set(end_, view_.values[entry]);
    if (narrow_) {
      packed_.narrow[end_] = static_cast<uint16_t>(view_.indices[entry]);
    } else {
      packed_.wide[end_] = static_cast<int32_t>(view_.indices[entry]);
    }
    ++end_;
  }

  void AddSlice(const int32_t* rows, int lanes) {
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
      slice.row[lane] = rows[lane];
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

std::vector<int32_t> ChunkByLength(const CsrView& view, int64_t begin) {
  const auto length = [&](int32_t row) { return view.indptr[row + 1] - view.indptr[row]; };
  std::vector<int32_t> rows(std::min(kCsrChunk, view.out_features() - begin));
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(begin));
  std::stable_sort(rows.begin(), rows.end(),
                   [&](int32_t a, int32_t b) { return length(a) > length(b); });
  return rows;
}

CsrSlices PackCsr(const CsrView& view, int width, Precision precision) {
  return SlicePacker(view, width, precision).Pack();
}

}  // namespace nfcompile
