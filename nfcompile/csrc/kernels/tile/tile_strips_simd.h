// Products over tiles by groups of rows and strips of vectors: the sums of a group for a strip
// stay in registers. What is multiplied is up to a `Product`, see tile_entries_simd.h.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_STRIPS_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_STRIPS_SIMD_H_

#include "kernels/tile/tile_entries_simd.h"
#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Sums that are kept in registers: of 32 half, the rest is for x, weights and constants; of 16
// as many as leave room for three vectors of x and a weight.
#if defined(__AVX512F__)
constexpr int kTileSums = 16;
#else
constexpr int kTileSums = 12;
#endif

// Adds an entry to the sums of kRows outputs.
template <typename Product, int kRows, int kVectors>
NFCOMPILE_INLINE void AddEntry(
    Floats (&sums)[kRows][kVectors], const typename Product::Element* values,
    const typename Product::Vector (&x)[kVectors * Product::kVectorsPerEntry]) {
#pragma GCC unroll 2
  for (int i = 0; i < Product::kVectorsPerEntry; ++i) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto weight = Product::Weight(values, r, i);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = Product::MultiplyAdd(sums[r][v], x[i * kVectors + v], weight);
      }
    }
  }
}

// kRows outputs for kVectors vectors of the tile, from vector `first` on.
template <typename Product, int kRows, int kVectors, typename Input>
NFCOMPILE_INLINE void RunStrip(const TileWeights& weights, const Input& input,
                               const TileEpilogue<typename Product::Lanes>& epilogue,
                               const TileGroup& group, int first, AnyNonZero& any) {
  // Independent sums hide the latency of the multiply-add where the block is small.
  constexpr int kWanted = kTileSums / 2 / (kRows * kVectors);
  constexpr int kChains = kWanted >= 4 ? 4 : kWanted >= 2 ? 2 : 1;
  constexpr int kStep = Product::kColumns;
  using Element = typename Product::Element;
  Floats acc[kChains][kRows][kVectors] = {};
  const Element* values = weights.values.Data(Element()) + group.value;
  const auto add = [&](Floats(&sums)[kRows][kVectors], int32_t k)
                       __attribute__((always_inline)) {
                         typename Product::Vector x[kVectors * Product::kVectorsPerEntry];
                         input.LoadEntry(k, x);
                         AddEntry<Product>(sums, values + k * kRows, x);
                       };
  int32_t k = 0;
  for (; k + kChains * kStep <= group.count; k += kChains * kStep) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) add(acc[c], k + c * kStep);
  }
  for (; k < group.count; k += kStep) add(acc[0], k);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 1; c < kChains; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[0][r][v] += acc[c][r][v];
    }
  }
  epilogue.template Rows<kRows, kVectors>(group.row, first, acc[0], any);
}

// Groups of kRows that read the same columns, for kVectors vectors from `first` on, in the
// fewest strips that the registers hold sums for; strip by strip, so that x stays near.
template <typename Product, int kRows, int kVectors>
NFCOMPILE_INLINE void RunSame(const TileWeights& weights, const TileOperands& operands,
                              const TileEpilogue<typename Product::Lanes>& epilogue,
                              Range groups, int first, AnyNonZero& any) {
  constexpr int kMost = kTileSums / kRows;
  constexpr int kStrips = (kVectors + kMost - 1) / kMost;
  constexpr int kStrip = (kVectors + kStrips - 1) / kStrips;
  const auto run = [&](const auto& input) __attribute__((always_inline)) {
    for (int64_t g = groups.begin; g < groups.end; ++g) {
      const TileGroup& group = weights.groups.data()[g];
      RunStrip<Product, kRows, kStrip>(weights, input, epilogue, group, first, any);
    }
  };
  const TileGroup& one = weights.groups.data()[groups.begin];
  const TileShape& shape = operands.x_shape;
  const InPlace<Product, kStrip> in_place{
      static_cast<const typename Product::Element*>(operands.x) + first * shape.vector,
      weights.columns.data() + one.column, shape};
  bool copies = false;
  // Smaller groups, the last rows of a block, share with none of their size.
  if constexpr (Product::kCostlyLoad && kRows >= kMaxGroupRows / 2) {
    copies = groups.size() >= kMinSharers && one.count > 0 && one.count <= kMaxCopied;
    if (copies) run(Copied<Product, kStrip>(in_place, one.count));
  }
  if (!copies) run(in_place);
  if constexpr (kStrip < kVectors) {
    RunSame<Product, kRows, kVectors - kStrip>(weights, operands, epilogue, groups,
                                               first + kStrip, any);
  }
}

template <typename Product, int kVectors>
bool RunGroups(const TileWeights& weights, const TileOperands& operands, Range groups,
               int first = 0) {
  const TileEpilogue<typename Product::Lanes> epilogue(operands);
  AnyNonZero any;
  while (groups.size() > 0) {
    const Range same = SharersOf(weights, groups);
    const int rows = weights.groups.data()[same.begin].rows;
    if (rows == 8) {
      RunSame<Product, 8, kVectors>(weights, operands, epilogue, same, first, any);
    } else if (rows == 4) {
      RunSame<Product, 4, kVectors>(weights, operands, epilogue, same, first, any);
    } else if (rows == 2) {
      RunSame<Product, 2, kVectors>(weights, operands, epilogue, same, first, any);
    } else {
      RunSame<Product, 1, kVectors>(weights, operands, epilogue, same, first, any);
    }
    groups.begin = same.end;
  }
  return any.Found();
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_STRIPS_SIMD_H_
