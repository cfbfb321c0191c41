// Packs CSR weights into slices (for one row of x) and row groups (for tiles).
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/csr/csr_kernel.h"
#include "kernels/tile/planes.h"
#include "kernels/tile/tile_pack.h"

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

namespace {

// Entries that code is generated for at most: with their values it takes 14 bytes each, 235 MB.
constexpr int64_t kMostCode = 1 << 24;

// Entries for each vector of x that code loads, from which on it is faster than tables (Zen 4;
// density 0.08 where zeros lie at random: at 0.10 8 to 20 % from tiles of 64 rows on, at 0.05
// 10 % slower).
constexpr double kMinShared = 2.5;

// What a block of generated rows costs besides its entries.
constexpr int64_t kBlockCost = 4 * kGeneratedRows;

std::vector<Entry> EntriesOf(const CsrView& view) {
  std::vector<Entry> entries;
  entries.reserve(view.nnz);
  for (int64_t o = 0; o < view.out_features(); ++o) {
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      const auto column = static_cast<int32_t>(view.indices[p]);
      entries.push_back({static_cast<int32_t>(o), column, view.values[p]});
    }
  }
  return entries;
}

// Columns of tiles, or of planes.
Columns Arrange(const Window* window, int64_t in_features, std::vector<Entry>& entries) {
  if (window != nullptr) return ToPlanes(*window, in_features, entries);
  return {.count = in_features};
}

// Rows that read the same columns.
struct Kinds {
  std::map<std::vector<int32_t>, size_t> kinds;
  std::vector<std::vector<int32_t>> rows;  // in the order of the first of each kind
  std::vector<const std::vector<int32_t>*> columns;
};

Kinds FindKinds(const CsrView& view) {
  Kinds found;
  for (int64_t o = 0; o < view.out_features(); ++o) {
    std::vector<int32_t> row;
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      row.push_back(static_cast<int32_t>(view.indices[p]));
    }
    const auto [kind, is_new] = found.kinds.emplace(std::move(row), found.rows.size());
    if (is_new) {
      found.rows.emplace_back();
      found.columns.push_back(&kind->first);
    }
    found.rows[kind->second].push_back(static_cast<int32_t>(o));
  }
  return found;
}

}  // namespace

std::vector<uint8_t> GenerateCsr(const CsrView& view, const Window* window) {
  std::vector<Entry> entries = EntriesOf(view);
  const Columns columns = Arrange(window, view.in_features, entries);
  return GeneratedRows::Code(entries, view.out_features(), columns);
}

bool IsUnstructured(const CsrView& view) {
  const auto kinds = static_cast<int64_t>(FindKinds(view).rows.size());
  return 2 * kinds > view.out_features();
}

bool HasCode(const CsrView& view, Isa isa) {
  if (view.nnz > kMostCode || Fp32Isa(isa) != Isa::kAvx512 || !MayGenerate()) return false;
  return IsUnstructured(view);
}

bool IsWorthCode(const CsrView& view) {
  const int64_t out = view.out_features();
  const int64_t blocks = CeilDiv(out, kGeneratedRows);
  const int64_t rows = blocks > 0 ? CeilDiv(out, blocks) : 0;
  std::vector<int64_t> seen(view.in_features, -1);
  int64_t loads = 0;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      int64_t& block = seen[view.indices[p]];
      loads += block != o / rows;
      block = o / rows;
    }
  }
  return static_cast<double>(view.nnz) >= kMinShared * static_cast<double>(loads);
}

std::optional<TileWeights> GenerateCsrTile(const CsrView& view, const Window* window) {
  TileWeights packed;
  std::vector<Entry> entries = EntriesOf(view);
  const Columns columns = Arrange(window, view.in_features, entries);
  packed.generated = GeneratedRows::Make(entries, view.out_features(), columns);
  if (packed.generated == nullptr) return std::nullopt;
  packed.in_features = view.in_features;
  packed.out_features = view.out_features();
  packed.units = packed.generated->blocks();
  packed.unit_rows = packed.generated->block_rows();
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  packed.cost[0] = 0;
  for (int64_t b = 0; b < packed.units; ++b) {
    packed.cost[b + 1] = packed.cost[b] + packed.generated->entries(b) + kBlockCost;
  }
  return packed;
}

namespace {

RowEntries RowEntriesOf(const CsrView& view) {
  RowEntries rows;
  rows.in_features = view.in_features;
  rows.values.assign(view.values, view.values + view.nnz);
  for (int64_t o = 0; o < view.indptr.size(); ++o) rows.indptr.push_back(view.indptr[o]);
  for (int64_t p = 0; p < view.nnz; ++p) {
    rows.columns.push_back(static_cast<int32_t>(view.indices[p]));
  }
  return rows;
}

}  // namespace

TileWeights PackCsrTile(const CsrView& view, Isa isa, Precision precision) {
  if (FindTileKernel(precision, isa)->run_rows != nullptr && IsUnstructured(view)) {
    const RowEntries entries = RowEntriesOf(view);
    if (FitsTileRows(entries)) return PackTileRows(entries, precision);
  }
  const Kinds found = FindKinds(view);
  const auto& rows = found.rows;
  TilePacker packer(view.out_features(), view.in_features, isa);
  for (size_t kind = 0; kind < rows.size(); ++kind) {
    packer.Add(
        rows[kind].data(), static_cast<int64_t>(rows[kind].size()), found.columns[kind]->data(),
        static_cast<int64_t>(found.columns[kind]->size()),
        [&](int64_t r, int64_t k) { return view.values[view.indptr[rows[kind][r]] + k]; });
  }
  return packer.Pack(precision);
}

}  // namespace nfcompile
