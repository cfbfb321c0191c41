// What groups of a tile product read: entries of x, in place or copied. A `Product` says what
// one is:
//
//   Element, Lanes    the type of weights and tiles, the order of a sum's lanes (TileEpilogue)
//   Vector            of x and of weights
//   kColumns          of an entry: neighbours in the columns of a group
//   kVectorsPerEntry  Vectors for each vector of the tile
//   kCostlyLoad       whether an entry is more than a load
//   LoadEntry(x, columns, shape, to)   of the tile
//   Weight(values, r, i)               what Vector i of an entry is multiplied with in row r
//   MultiplyAdd(sum, x, weight)
#ifndef NFCOMPILE_KERNELS_TILE_TILE_ENTRIES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_ENTRIES_SIMD_H_

#include "base/partition.h"
#include "kernels/simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Where an entry is more than a load, groups that read the same columns, if these are few, read
// a copy of it. (A copy of floats costs more than it saves, 10 % of a ResNet-50 in blocks on
// Zen 5, docs/speed.md, although columns a power of two apart compete for sets of the
// first-level cache.)
constexpr int64_t kMinSharers = 2;  // groups
constexpr int32_t kMaxCopied = 64;  // columns

// The first of `groups` and those behind it that read the same columns and have as many rows.
// (An empty group begins where the next one does.)
NFCOMPILE_INLINE Range SharersOf(const TileWeights& weights, Range groups) {
  const TileGroup* all = weights.groups.data();
  const TileGroup& first = all[groups.begin];
  int64_t end = groups.begin + 1;
  while (end < groups.end && all[end].column == first.column && all[end].count == first.count &&
         all[end].rows == first.rows) {
    ++end;
  }
  return {groups.begin, end};
}

// Entries as they lie in the tile.
template <typename Product, int kVectors>
struct InPlace {
  const typename Product::Element* x;
  const int32_t* columns;
  const TileShape& shape;

  NFCOMPILE_INLINE void LoadEntry(
      int32_t k, typename Product::Vector (&to)[kVectors * Product::kVectorsPerEntry]) const {
    Product::template LoadEntry<kVectors>(x, columns + k, shape, to);
  }
};

// Or copied, one after another.
template <typename Product, int kVectors>
class Copied {
 public:
  using Vector = typename Product::Vector;

  NFCOMPILE_INLINE Copied(const InPlace<Product, kVectors>& from, int32_t count) {
    for (int32_t k = 0; k < count; k += Product::kColumns) {
      from.LoadEntry(k, entries_[k / Product::kColumns]);
    }
  }

  NFCOMPILE_INLINE void LoadEntry(int32_t k,
                                  Vector (&to)[kVectors * Product::kVectorsPerEntry]) const {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors * Product::kVectorsPerEntry; ++i) {
      to[i] = entries_[k / Product::kColumns][i];
    }
  }

 private:
  Vector entries_[kMaxCopied / Product::kColumns][kVectors * Product::kVectorsPerEntry];
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_ENTRIES_SIMD_H_
