// Packs CSR weights for tiles: rows for themselves, groups of rows, or code.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/partition.h"
#include "kernels/csr/csr_kernel.h"
#include "kernels/tile/planes.h"
#include "kernels/tile/tile_pack.h"

namespace nfcompile {
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

}  // namespace

std::vector<uint8_t> GenerateCsr(const CsrView& view, const Window* window) {
  std::vector<Entry> entries = EntriesOf(view);
  const Columns columns = Arrange(window, view.in_features, entries);
  return GeneratedRows::Code(entries, view.out_features(), columns);
}

CsrKinds::CsrKinds(const CsrView& view) {
  for (int64_t o = 0; o < view.out_features(); ++o) {
    std::vector<int32_t> row;
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      row.push_back(static_cast<int32_t>(view.indices[p]));
    }
    const auto [kind, is_new] = kinds_.emplace(std::move(row), rows.size());
    if (is_new) {
      rows.emplace_back();
      columns.push_back(&kind->first);
    }
    rows[kind->second].push_back(static_cast<int32_t>(o));
  }
  unstructured = 2 * static_cast<int64_t>(rows.size()) > view.out_features();
}

bool CanGenerate(const CsrView& view, const CsrKinds& kinds, Isa isa) {
  const bool runs = Fp32Isa(isa) == Isa::kAvx512 && MayGenerate();
  return runs && view.nnz <= kMostCode && kinds.unstructured;
}

bool IsWorthCode(const CsrView& view) {
  const int64_t out = view.out_features();
  const int64_t rows = GeneratedRows::BlockRows(out);
  std::vector<int64_t> seen(view.in_features, -1);
  int64_t loads = 0;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      int64_t& block = seen[view.indices[p]];
      loads += block != o / rows;
      block = o / rows;
    }
  }
  return loads > 0 && static_cast<double>(view.nnz) >= kMinShared * static_cast<double>(loads);
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

TileWeights PackCsrTile(const CsrView& view, const CsrKinds& kinds, Isa isa,
                        Precision precision) {
  if (FindTileKernel(precision, isa)->run_rows != nullptr && kinds.unstructured) {
    std::optional<TileWeights> rows = PackTileRows({.values = view.values,
                                                    .columns = view.indices,
                                                    .indptr = view.indptr,
                                                    .in_features = view.in_features},
                                                   precision);
    if (rows) return *std::move(rows);
  }
  TilePacker packer(view.out_features(), view.in_features, isa);
  for (size_t kind = 0; kind < kinds.rows.size(); ++kind) {
    const std::vector<int32_t>& rows = kinds.rows[kind];
    const std::vector<int32_t>& columns = *kinds.columns[kind];
    packer.Add(rows.data(), static_cast<int64_t>(rows.size()), columns.data(),
               static_cast<int64_t>(columns.size()),
               [&](int64_t r, int64_t k) { return view.values[view.indptr[rows[r]] + k]; });
  }
  return packer.Pack(precision);
}

}  // namespace nfcompile
