#include "cuda/pack.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal_kernel.h"

namespace nfcompile::cuda {
namespace {

constexpr int64_t kBlockSizes[] = {128, 64, 32, 16};  // that the kernel bsr is compiled for
constexpr int64_t kMostNarrow = std::numeric_limits<uint16_t>::max() + int64_t{1};
// Kernels count in 32 bits: values, a step beyond the last one included, and elements of x and
// y from the first row of a program on.
constexpr int64_t kMostCounted = std::numeric_limits<int32_t>::max() - int64_t{1024};

// The largest square that blocks of this shape are cut into; 0 if there is none.
int64_t SquareOf(int64_t rows, int64_t columns) {
  for (const int64_t size : kBlockSizes) {
    if (rows % size == 0 && columns % size == 0) return size;
  }
  return 0;
}

Packed NewPacked(const char* kernel, int64_t in_features, int64_t out_features,
                 int64_t stored) {
  Require(stored <= kMostCounted, "at most ", kMostCounted, " values can be stored, got ",
          stored);
  const int64_t features = std::max(in_features, out_features);
  Require(features <= kMostCounted, "layers for CUDA have at most ", kMostCounted,
          " features, got ", features);
  Packed packed;
  packed.kernel = kernel;
  packed.in_features = in_features;
  packed.out_features = out_features;
  packed.values.reserve(stored);
  return packed;
}

// Rows of (column, value), one after the other.
class CsrBuilder {
 public:
  CsrBuilder(int64_t in_features, int64_t out_features, int64_t stored)
      : packed_(NewPacked("csr", in_features, out_features, stored)) {
    packed_.lists = {{0}, {}};
    packed_.lists[1].reserve(stored);
    packed_.narrow = in_features <= kMostNarrow;
    packed_.units = out_features;
  }

  void Add(int64_t column, float value) {
    packed_.lists[1].push_back(static_cast<int32_t>(column));
    packed_.values.push_back(value);
  }

  void EndRow() { packed_.lists[0].push_back(static_cast<int32_t>(packed_.values.size())); }

  Packed Take() { return std::move(packed_); }

 private:
  Packed packed_;
};

Packed PackAsCsr(const BsrView& view) {
  CsrBuilder csr(view.in_features, view.out_features(),
                 view.blocks * view.block_rows * view.block_columns);
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t r = 0; r < view.block_rows; ++r) {
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t c = 0; c < view.block_columns; ++c) {
          csr.Add(view.indices[p] * view.block_columns + c,
                  view.values[(p * view.block_rows + r) * view.block_columns + c]);
        }
      }
      csr.EndRow();
    }
  }
  return csr.Take();
}

Packed PackAsCsr(const BlockDiagonalView& view, const std::vector<int32_t>& rows,
                 const std::vector<int32_t>& cols) {
  const int64_t stored = view.blocks * view.block_rows * view.block_columns;
  // Every output belongs to exactly one row of one block.
  std::vector<int64_t> row_of(view.out_features, -1);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= 0) row_of[rows[i]] = static_cast<int64_t>(i);
  }
  CsrBuilder csr(view.in_features, view.out_features, stored);
  for (int64_t o = 0; o < view.out_features; ++o) {
    const int64_t first = row_of[o] / view.block_rows * view.block_columns;
    for (int64_t c = 0; c < view.block_columns; ++c) {
      if (cols[first + c] < 0) continue;
      csr.Add(cols[first + c], view.values[row_of[o] * view.block_columns + c]);
    }
    csr.EndRow();
  }
  return csr.Take();
}

// Cuts blocks into squares.
Packed PackSquares(const BsrView& view, int64_t size) {
  Packed packed = NewPacked("bsr", view.in_features, view.out_features(),
                            view.blocks * view.block_rows * view.block_columns);
  packed.units = packed.out_features;
  packed.size = static_cast<int32_t>(size);
  packed.lists = {{0}, {}};
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t top = 0; top < view.block_rows; top += size) {
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t left = 0; left < view.block_columns; left += size) {
          packed.lists[1].push_back(
              static_cast<int32_t>(view.indices[p] * view.block_columns + left));
          for (int64_t r = top; r < top + size; ++r) {
            const float* row =
                view.values + (p * view.block_rows + r) * view.block_columns + left;
            packed.values.insert(packed.values.end(), row, row + size);
          }
        }
      }
      packed.lists[0].push_back(static_cast<int32_t>(packed.lists[1].size()));
    }
  }
  return packed;
}

}  // namespace

bool Fits(const Packed& packed, const Types& types, const Image& image) {
  if (image.x_type != std::string_view(Name(types.x)) ||
      image.value_type != std::string_view(Name(types.values))) {
    return false;
  }
  const std::string_view kernel = image.kernel;
  const Constants& constants = image.constants;
  const int64_t features = std::max(packed.in_features, packed.out_features);
  if (constants.batch * features > kMostCounted) return false;
  if (kernel == "block_diagonal_small" && packed.kernel == std::string_view("block_diagonal")) {
    // Where it is not told that neighbours lie side by side, any strides will do.
    if (constants.size != packed.size) return false;
    return constants.x_strided == 0 || (packed.strides[0] % constants.group == 0 &&
                                        packed.strides[1] % constants.group == 0);
  }
  if (kernel == "bsr_vector") {
    return packed.kernel == std::string_view("bsr") && constants.size == packed.size;
  }
  if (kernel != packed.kernel || constants.size != packed.size) return false;
  if (kernel == "csr")
    return image.index_type == std::string_view(packed.narrow ? "u16" : "i32");
  if (kernel == "bsr") return true;
  const auto side = [&](int32_t stride, int32_t strided) {
    if (strided == 0) return stride == 1;
    return stride > 1 && stride % constants.group == 0;
  };
  return side(packed.strides[0], constants.x_strided) &&
         side(packed.strides[1], constants.y_strided);
}

Packed Pack(const CsrView& view, const Types&) {
  Check(view);
  CsrBuilder csr(view.in_features, view.out_features(), view.nnz);
  for (int64_t o = 0; o < view.out_features(); ++o) {
    for (int64_t p = view.indptr[o]; p < view.indptr[o + 1]; ++p) {
      csr.Add(view.indices[p], view.values[p]);
    }
    csr.EndRow();
  }
  return csr.Take();
}

Packed Pack(const BsrView& view, const Types&) {
  Check(view);
  const int64_t size = SquareOf(view.block_rows, view.block_columns);
  return size > 0 ? PackSquares(view, size) : PackAsCsr(view);
}

Packed Pack(const BlockDiagonalView& view, const Types& types) {
  Check(view);
  const BlockIndex rows = ResolveSide(view, true);
  const BlockIndex cols = ResolveSide(view, false);
  const int64_t size = SquareOf(view.block_rows, view.block_columns);
  const bool whole = view.blocks * view.block_rows == view.out_features &&
                     view.blocks * view.block_columns == view.in_features;
  if (whole && rows.stride == 1 && cols.stride == 1 && size > 0) {
    std::vector<int32_t> indices(view.blocks + 1);
    std::iota(indices.begin(), indices.end(), 0);
    return PackSquares({.values = view.values,
                        .blocks = view.blocks,
                        .block_rows = view.block_rows,
                        .block_columns = view.block_columns,
                        .indices = {indices.data(), view.blocks, IndexType::kInt32},
                        .indptr = {indices.data(), view.blocks + 1, IndexType::kInt32},
                        .in_features = view.in_features},
                       size);
  }
  if (!whole || rows.stride == 0 || cols.stride == 0 || view.block_rows != view.block_columns) {
    return PackAsCsr(view, rows.index, cols.index);
  }
  const int64_t stored = view.blocks * view.block_rows * view.block_columns;
  Packed packed = NewPacked("block_diagonal", view.in_features, view.out_features, stored);
  packed.values.assign(view.values, view.values + stored);
  packed.strides = {static_cast<int32_t>(cols.stride), static_cast<int32_t>(rows.stride)};
  packed.units = view.blocks;
  packed.size = static_cast<int32_t>(view.block_rows);
  for (const Image& image : Images()) {
    if (Fits(packed, types, image)) return packed;
  }
  return PackAsCsr(view, rows.index, cols.index);
}

}  // namespace nfcompile::cuda
