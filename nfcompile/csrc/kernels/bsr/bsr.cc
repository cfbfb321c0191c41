#include "kernels/bsr/bsr.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/text.h"
#include "kernels/bsr/bsr_kernel.h"
#include "kernels/csr/csr.h"
#include "kernels/indptr.h"

namespace nfcompile {
namespace {

// Lanes are the rows of a block; with fewer of them in use than this share, the weights do
// better as CSR.
constexpr double kMinLanesInUse = 0.6;

bool FillsLanes(int64_t block_rows, int width) {
  const int64_t padded = (block_rows + width - 1) / width * width;
  return static_cast<double>(block_rows) >= kMinLanesInUse * static_cast<double>(padded);
}

// The widest kernel, not above `isa`, whose lanes the blocks fill.
const BsrKernel* FindKernel(Isa isa, int64_t block_rows) {
#if defined(__x86_64__)
  const auto fits = [&](const BsrKernel& kernel) {
    return FillsLanes(block_rows, kernel.width);
  };
  if (isa == Isa::kAvx512 && fits(bsr_f32_avx512)) return &bsr_f32_avx512;
  if (isa == Isa::kAvx512Emulated && fits(bsr_f32_avx512_emulated)) {
    return &bsr_f32_avx512_emulated;
  }
  if ((isa == Isa::kAvx512 || isa == Isa::kAvx2) && fits(bsr_f32_avx2)) return &bsr_f32_avx2;
#endif
  return nullptr;
}

class SimdBsrMatMul final : public MatMul {
 public:
  SimdBsrMatMul(const BsrView& view, const BsrKernel& kernel)
      : MatMul(view.in_features, view.out_features()),
        kernel_(kernel),
        weights_(PackBsr(view, kernel)),
        description_(
            Cat(kernel.name, ", blocks of ", view.block_rows, " x ", view.block_columns)) {
    for (int64_t i = 0; i < view.indptr.size(); ++i) cost_.push_back(view.indptr[i] * 8 + i);
  }

  const char* description() const override { return description_.c_str(); }

  Work WorkFor(int64_t batch) const override {
    const auto units = std::max<int64_t>(static_cast<int64_t>(cost_.size()) - 1, 1);
    return {.batch = batch,
            .batch_tile = BatchTile(),
            .macs_per_row = static_cast<int64_t>(weights_.values.size()) + out_features(),
            .units = units,
            .max_row_ranges = units};
  }

  size_t WorkspaceFloats(int64_t) const override { return 0; }

  void RunTask(const Operands& operands, const Grid& grid, int64_t task,
               float*) const override {
    const Range batch = grid.Batch(task);
    const Range rows = BalancedRange(cost_.data(), static_cast<int64_t>(cost_.size()) - 1,
                                     grid.RowRange(task), grid.row_ranges());
    for (int64_t m = batch.begin; m < batch.end; m += BatchTile()) {
      kernel_.matrix(weights_, operands, {m, std::min(m + BatchTile(), batch.end)}, rows);
    }
  }

 private:
  // As many rows of x as half a second-level cache of 512 KiB holds.
  int64_t BatchTile() const {
    constexpr int64_t kFloats = 64 << 10;
    return std::clamp<int64_t>(kFloats / std::max<int64_t>(in_features(), 1), 12, 64);
  }

  const BsrKernel& kernel_;
  const BsrWeights weights_;
  const std::string description_;
  std::vector<int64_t> cost_;  // prefix sums over block rows
};

std::unique_ptr<MatMul> MakeCsrFromBsr(const BsrView& view, Isa isa) {
  const int64_t stored = view.blocks * view.block_rows * view.block_columns;
  std::vector<float> values(stored);
  std::vector<int32_t> indices(stored);
  std::vector<int64_t> indptr{0};
  int64_t end = 0;
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t r = 0; r < view.block_rows; ++r) {
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t c = 0; c < view.block_columns; ++c) {
          values[end] = view.values[(p * view.block_rows + r) * view.block_columns + c];
          indices[end++] = static_cast<int32_t>(view.indices[p] * view.block_columns + c);
        }
      }
      indptr.push_back(end);
    }
  }
  return MakeCsrMatMul(
      {.values = values.data(),
       .nnz = stored,
       .indices = {indices.data(), stored, IndexType::kInt32},
       .indptr = {indptr.data(), static_cast<int64_t>(indptr.size()), IndexType::kInt64},
       .in_features = view.in_features},
      isa);
}

}  // namespace

BsrWeights PackBsr(const BsrView& view, const BsrKernel& kernel) {
  const int64_t width = kernel.width;
  BsrWeights weights;
  weights.in_features = view.in_features;
  weights.out_features = view.out_features();
  weights.block_rows = view.block_rows;
  weights.block_columns = view.block_columns;
  weights.vectors = (view.block_rows + width - 1) / width;
  weights.indptr = AlignedArray<int64_t>(view.indptr.size());
  weights.starts = AlignedArray<int32_t>(view.blocks);
  weights.values =
      AlignedArray<float>(view.blocks * view.block_columns * weights.vectors * width);
  for (int64_t i = 0; i < view.indptr.size(); ++i) weights.indptr[i] = view.indptr[i];
  for (int64_t p = 0; p < view.blocks; ++p) {
    weights.starts[p] = static_cast<int32_t>(view.indices[p] * view.block_columns);
  }
  float* next = weights.values.data();
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t first = 0; first < weights.vectors; first += kernel.strip_vectors) {
      const int64_t lanes =
          std::min<int64_t>(kernel.strip_vectors, weights.vectors - first) * width;
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t c = 0; c < view.block_columns; ++c) {
          for (int64_t r = first * width; r < first * width + lanes; ++r) {
            const int64_t from = (p * view.block_rows + r) * view.block_columns + c;
            *next++ = r < view.block_rows ? view.values[from] : 0.0f;
          }
        }
      }
    }
  }
  return weights;
}

std::unique_ptr<MatMul> MakeBsrMatMul(const BsrView& weights, Isa isa) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  Require(weights.block_rows >= 1 && weights.block_columns >= 1,
          "BSR blocks must be at least 1 x 1, got ", weights.block_rows, " x ",
          weights.block_columns);
  Require(weights.in_features % weights.block_columns == 0,
          "in_features must be a multiple of the columns of a BSR block, ",
          weights.block_columns, ", got ", weights.in_features);
  CheckIndptr("BSR", weights.indptr, weights.indices, weights.blocks,
              weights.in_features / weights.block_columns, "block columns");
  if (isa == Isa::kScalar) return MakeScalarBsrMatMul(weights);
  const BsrKernel* kernel = FindKernel(isa, weights.block_rows);
  if (kernel == nullptr) return MakeCsrFromBsr(weights, isa);
  return std::make_unique<SimdBsrMatMul>(weights, *kernel);
}

}  // namespace nfcompile
