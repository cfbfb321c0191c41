#include "kernels/block_diagonal/block_diagonal.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal_kernel.h"
#include "kernels/tile/tile_pack.h"

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

class SimdBlockDiagonalMatMul final : public RowMatMul {
 public:
  SimdBlockDiagonalMatMul(BlockDiagonalWeights weights, const BlockDiagonalKernel& kernel,
                          Isa machine)
      : kernel_(kernel),
        machine_(machine),
        weights_(std::move(weights)),
        description_(Cat(kernel.name, ", ", LayoutName(weights_.layout), ", columns ",
                         InputName(weights_.input), ", rows ",
                         weights_.rows.data() == nullptr ? "in place" : "scattered")) {}

  const char* description() const override { return description_.c_str(); }

  int64_t max_batch(bool alone) const override {
    if (alone) return kAnyBatch;
    const bool pairs = weights_.together == 2 && machine_ != Isa::kAmxBf16;
    if (pairs) return kMaxBatchPairs;
    const bool narrow = weights_.values.precision() == Precision::kBfloat16;
    return !narrow && kernel_.width == 16 && HasFullWidthAvx512() ? kMaxBatchFullWidth
                                                                  : kMaxBatch;
  }

  int64_t units() const override { return std::max<int64_t>(weights_.groups, 1); }

  int64_t macs() const override {
    return static_cast<int64_t>(weights_.values.size()) + weights_.in_features +
           weights_.out_features;
  }

  size_t WorkspaceFloats() const override {
    return weights_.together * weights_.workspace_floats;
  }

  void Run(const Operands& operands, int64_t part, int64_t parts,
           float* workspace) const override {
    const Range groups = EvenRange(weights_.groups, part, parts);
    for (int64_t m = 0; m < operands.batch; m += BatchTile()) {
      const Range batch{m, std::min(m + BatchTile(), operands.batch)};
      kernel_.matrix(weights_, operands, batch, groups, workspace);
    }
  }

 private:
  // As many rows of x and y as half a second-level cache of 512 KiB holds.
  int64_t BatchTile() const {
    constexpr int64_t kFloats = 64 << 10;
    const int64_t features = weights_.in_features + weights_.out_features;
    return std::clamp<int64_t>(kFloats / std::max<int64_t>(features, 1), 12, 64);
  }

  // Beyond, tiles are faster: no column is out of place there.
  static constexpr int64_t kMaxBatch = 7;
  static constexpr int64_t kMaxBatchFullWidth = 12;  // Zen 5, docs/speed.md
  static constexpr int64_t kMaxBatchPairs = 16;      // Zen 5, docs/speed.md

  const BlockDiagonalKernel& kernel_;
  const Isa machine_;
  const BlockDiagonalWeights weights_;
  const std::string description_;
};

TileWeights PackBlockDiagonalTile(const BlockDiagonalView& view, const BlockIndex& rows,
                                  const BlockIndex& cols, Isa isa, Precision precision) {
  TilePacker packer(view.out_features, view.in_features, isa);
  for (int64_t b = 0; b < view.blocks; ++b) {
    const float* values = view.values + b * view.block_rows * view.block_columns;
    packer.Add(rows.index.data() + b * view.block_rows, view.block_rows,
               cols.index.data() + b * view.block_columns, view.block_columns,
               [&](int64_t r, int64_t k) { return values[r * view.block_columns + k]; });
  }
  return packer.Pack(precision);
}

}  // namespace

void Check(const BlockDiagonalView& weights) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  Require(weights.out_features >= 0 && weights.out_features <= kMax,
          "out_features must lie in 0 .. ", kMax, ", got ", weights.out_features);
  Require(weights.block_rows >= 1 && weights.block_columns >= 1,
          "blocks must be at least 1 x 1, got ", weights.block_rows, " x ",
          weights.block_columns);
}

MatMul MakeBlockDiagonalMatMul(const BlockDiagonalView& weights, Isa isa, Precision precision) {
  Check(weights);
  BlockIndex rows = ResolveSide(weights, true);
  BlockIndex cols = ResolveSide(weights, false);
  TileWeights tile = PackBlockDiagonalTile(weights, rows, cols, isa, precision);
  std::unique_ptr<RowMatMul> row_form;
  if (const BlockDiagonalKernel* kernel = FindKernel(Fp32Isa(isa)); kernel != nullptr) {
    const bool pairs = VectorIsa(isa) == Isa::kAvx512Bf16 && precision == Precision::kBfloat16;
    BlockDiagonalWeights packed = PackBlockDiagonal(
        weights, rows, cols, kernel->width, kernel->strip_vectors, pairs ? 2 : 1, precision);
#if defined(__x86_64__)
    if (packed.together == 2) kernel = &block_diagonal_bf16_avx512_bf16;
#endif
    row_form = std::make_unique<SimdBlockDiagonalMatMul>(std::move(packed), *kernel, isa);
  } else {
    row_form = MakeScalarBlockDiagonalMatMul(weights, std::move(rows), std::move(cols));
  }
  return MakeMatMul(std::move(row_form), std::move(tile), isa);
}

}  // namespace nfcompile
