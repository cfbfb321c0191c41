// Resolves one side of a block-diagonal weight: a rule becomes a list that is checked like any
// other, and a list that follows a rule is recognized as one.
#include <algorithm>
#include <vector>

#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal_kernel.h"

namespace nfcompile {
namespace {

int64_t RuleIndex(int64_t block, int64_t element, int64_t extent, int64_t stride) {
  return block / stride * (extent * stride) + element * stride + block % stride;
}

// The stride that `index` follows, or 0.
int64_t FindStride(const std::vector<int32_t>& index, int64_t blocks, int64_t extent) {
  if (index.empty() || index[0] != 0) return 0;
  // With one element per block every stride gives the identity; this one suits vectors best.
  const int64_t stride = extent == 1 ? blocks : index[1];
  if (stride < 1 || stride > blocks || blocks % stride != 0) return 0;
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t e = 0; e < extent; ++e) {
      if (index[b * extent + e] != RuleIndex(b, e, extent, stride)) return 0;
    }
  }
  return stride;
}

}  // namespace

BlockIndex ResolveSide(const BlockDiagonalView& view, bool is_row) {
  const BlockSide& side = is_row ? view.rows : view.cols;
  const char* name = is_row ? "rows" : "cols";
  const char* rule = is_row ? "row_stride" : "col_stride";
  const int64_t extent = is_row ? view.block_rows : view.block_columns;
  const int64_t features = is_row ? view.out_features : view.in_features;
  const int64_t size = view.blocks * extent;
  Require(side.has_list != (side.stride != 0), "exactly one of ", name, " and ", rule,
          " must be given, got ", side.has_list ? "both" : "neither");
  BlockIndex resolved;
  if (side.has_list) {
    Require(side.list.size() == size, name, " must have blocks x ", extent, " = ", size,
            " entries, got ", side.list.size());
  } else {
    Require(side.stride >= 1 && (view.blocks == 0 || view.blocks % side.stride == 0), rule,
            " must divide the number of blocks, ", view.blocks, ", got ", side.stride);
    Require(size <= features, "blocks x ", extent, " = ", size, " ", name, " must fit in the ",
            features, is_row ? " out_features" : " in_features");
  }
  resolved.index.reserve(size);
  for (int64_t b = 0; b < view.blocks; ++b) {
    for (int64_t e = 0; e < extent; ++e) {
      const int64_t index =
          side.has_list ? side.list[b * extent + e] : RuleIndex(b, e, extent, side.stride);
      Require(index >= -1 && index < features, name, " must lie in -1 .. ", features - 1,
              ", got ", index, " at entry ", b * extent + e);
      resolved.index.push_back(static_cast<int32_t>(index));
    }
  }
  resolved.stride = FindStride(resolved.index, view.blocks, extent);
  if (!is_row) return resolved;
  std::vector<bool> seen(features, false);
  for (const int32_t index : resolved.index) {
    if (index < 0) continue;
    Require(!seen[index], "rows must name every output once, got ", index, " twice");
    seen[index] = true;
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  Require(missing == seen.end(), "rows must name every output once, got no ",
          missing - seen.begin());
  return resolved;
}

}  // namespace nfcompile
