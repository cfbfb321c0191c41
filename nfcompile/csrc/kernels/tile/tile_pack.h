// From the rows of any encoding to the groups of a tile product.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_PACK_H_
#define NFCOMPILE_KERNELS_TILE_TILE_PACK_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/tile/tile.h"

namespace nfcompile {

// Collects the rows of a weight and packs them.
class TilePacker {
 public:
  TilePacker(int64_t out_features, int64_t in_features, Isa isa)
      : out_features_(out_features),
        in_features_(in_features),
        isa_(isa),
        group_rows_(GroupRows(isa)) {}

  // The outputs rows[0 .. row_count] read columns[0 .. count]; value(r, k) is the entry of row
  // r and column k. Rows and columns of -1 are padding and left out.
  template <typename Value>
  void Add(const int32_t* rows, int64_t row_count, const int32_t* columns, int64_t count,
           Value value) {
    std::vector<int64_t> stored;
    for (int64_t r = 0; r < row_count; ++r) {
      if (rows[r] >= 0) stored.push_back(r);
    }
    if (stored.empty()) return;
    std::vector<int64_t> kept;
    for (int64_t k = 0; k < count; ++k) {
      if (columns[k] >= 0) kept.push_back(k);
    }
    const auto column = static_cast<int64_t>(columns_.size());
    for (const int64_t k : kept) columns_.push_back(columns[k]);
    for (size_t first = 0; first < stored.size();) {
      int size = group_rows_;
      while (static_cast<size_t>(size) > stored.size() - first) size /= 2;
      TileGroup group;
      group.rows = size;
      group.value = static_cast<int64_t>(values_.size());
      group.column = column;
      group.count = static_cast<int32_t>(kept.size());
      for (int r = 0; r < size; ++r) group.row[r] = rows[stored[first + r]];
      for (const int64_t k : kept) {
        for (int r = 0; r < size; ++r) values_.push_back(value(stored[first + r], k));
      }
      groups_.push_back(group);
      first += size;
    }
  }

  // Ends the use of the packer.
  TileWeights Pack(Precision precision);

 private:
  TileWeights PackBlocks(std::shared_ptr<const AmxBlocks> blocks) const;
  void SortGroups();
  void PackGroups(Precision precision, TileWeights& packed) const;

  const int64_t out_features_;
  const int64_t in_features_;
  const Isa isa_;
  const int group_rows_;
  std::vector<TileGroup> groups_;
  std::vector<float> values_;
  std::vector<int32_t> columns_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_PACK_H_
