#include "kernels/block_diagonal/block_diagonal.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal_kernel.h"

namespace nfcompile {
namespace {

const BlockDiagonalKernel* FindKernel(Isa isa) {
#if defined(__x86_64__)
  for (const BlockDiagonalKernel* kernel :
       {&block_diagonal_f32_avx512, &block_diagonal_f32_avx2,
        &block_diagonal_f32_avx512_emulated}) {
    if (kernel->isa == isa) return kernel;
  }
#endif
  return nullptr;
}

const char* LayoutName(BlockLayout layout) {
  switch (layout) {
    case BlockLayout::kRows:
      return "lanes over rows";
    case BlockLayout::kBlocks:
      return "lanes over blocks";
    case BlockLayout::kShuffle:
      return "shuffled";
  }
  return "";
}

const char* InputName(BlockInput input) {
  switch (input) {
    case BlockInput::kInPlace:
      return "in place";
    case BlockInput::kTransposed:
      return "transposed";
    case BlockInput::kGathered:
      return "gathered";
  }
  return "";
}

class SimdBlockDiagonalMatMul final : public MatMul {
 public:
  SimdBlockDiagonalMatMul(const BlockDiagonalView& view, const BlockIndex& rows,
                          const BlockIndex& cols, const BlockDiagonalKernel& kernel)
      : MatMul(view.in_features, view.out_features),
        kernel_(kernel),
        weights_(PackBlockDiagonal(view, rows, cols, kernel.width, kernel.strip_vectors)),
        description_(Cat(kernel.name, ", ", LayoutName(weights_.layout), ", columns ",
                         InputName(weights_.input), ", rows ",
                         weights_.rows.data() == nullptr ? "in place" : "scattered")) {}

  const char* description() const override { return description_.c_str(); }

  Work WorkFor(int64_t batch) const override {
    const int64_t units = std::max<int64_t>(weights_.groups, 1);
    return {.batch = batch,
            .batch_tile = BatchTile(),
            .macs_per_row =
                static_cast<int64_t>(weights_.values.size()) + in_features() + out_features(),
            .units = units,
            .max_row_ranges = units};
  }

  size_t WorkspaceFloats(int64_t) const override {
    return kBlockMaxBatchRows * weights_.block_columns * kernel_.width;
  }

  void RunTask(const Operands& operands, const Grid& grid, int64_t task,
               float* workspace) const override {
    const Range batch = grid.Batch(task);
    const Range groups = EvenRange(weights_.groups, grid.RowRange(task), grid.row_ranges());
    for (int64_t m = batch.begin; m < batch.end; m += BatchTile()) {
      const Range rows{m, std::min(m + BatchTile(), batch.end)};
      kernel_.matrix(weights_, operands, rows, groups, workspace);
    }
  }

 private:
  // As many rows of x and y as half a second-level cache of 512 KiB holds.
  int64_t BatchTile() const {
    constexpr int64_t kFloats = 64 << 10;
    return std::clamp<int64_t>(kFloats / std::max<int64_t>(in_features() + out_features(), 1),
                               12, 64);
  }

  const BlockDiagonalKernel& kernel_;
  const BlockDiagonalWeights weights_;
  const std::string description_;
};

}  // namespace

std::unique_ptr<MatMul> MakeBlockDiagonalMatMul(const BlockDiagonalView& weights, Isa isa) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  Require(weights.out_features >= 0 && weights.out_features <= kMax,
          "out_features must lie in 0 .. ", kMax, ", got ", weights.out_features);
  Require(weights.block_rows >= 1 && weights.block_columns >= 1,
          "blocks must be at least 1 x 1, got ", weights.block_rows, " x ",
          weights.block_columns);
  BlockIndex rows = ResolveSide(weights, true);
  BlockIndex cols = ResolveSide(weights, false);
  const BlockDiagonalKernel* kernel = FindKernel(isa);
  if (kernel == nullptr) {
    return MakeScalarBlockDiagonalMatMul(weights, std::move(rows), std::move(cols));
  }
  return std::make_unique<SimdBlockDiagonalMatMul>(weights, rows, cols, *kernel);
}

}  // namespace nfcompile
