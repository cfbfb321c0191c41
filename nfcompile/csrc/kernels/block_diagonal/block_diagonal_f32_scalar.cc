// block_diagonal_f32_scalar: the equation of block_diagonal.h as it stands.
#include <utility>
#include <vector>

#include "kernels/block_diagonal/block_diagonal_kernel.h"

namespace nfcompile {
namespace {

class ScalarBlockDiagonalMatMul final : public RowMatMul {
 public:
  ScalarBlockDiagonalMatMul(const BlockDiagonalView& view, BlockIndex rows, BlockIndex cols)
      : in_features_(view.in_features),
        out_features_(view.out_features),
        blocks_(view.blocks),
        block_rows_(view.block_rows),
        block_columns_(view.block_columns),
        values_(view.values, view.values + view.blocks * view.block_rows * view.block_columns),
        rows_(std::move(rows.index)),
        cols_(std::move(cols.index)) {}

  const char* description() const override { return "block_diagonal_f32_scalar"; }

  int64_t max_batch(bool) const override { return kScalarMaxBatch; }
  int64_t units() const override { return blocks_; }
  int64_t macs() const override { return static_cast<int64_t>(values_.size()) + out_features_; }

  void Run(const Operands& operands, int64_t part, int64_t parts, float*) const override {
    const Range blocks = EvenRange(blocks_, part, parts);
    for (int64_t m = 0; m < operands.batch; ++m) {
      for (int64_t row = blocks.begin * block_rows_; row < blocks.end * block_rows_; ++row) {
        const int64_t o = rows_[row];
        if (o < 0) continue;
        const int64_t index = m * out_features_ + o;
        const float sum = Sum(operands.x + m * in_features_, row);
        operands.y[index] = ApplyEpilogue(operands.epilogue, sum, o, index);
      }
    }
  }

 private:
  // The row numbered b R + e.
  float Sum(const float* x, int64_t row) const {
    const int32_t* cols = cols_.data() + row / block_rows_ * block_columns_;
    const float* values = values_.data() + row * block_columns_;
    float sum = 0;
    for (int64_t c = 0; c < block_columns_; ++c) {
      if (cols[c] >= 0) sum += values[c] * x[cols[c]];
    }
    return sum;
  }

  const int64_t in_features_;
  const int64_t out_features_;
  const int64_t blocks_;
  const int64_t block_rows_;
  const int64_t block_columns_;
  const std::vector<float> values_;
  const std::vector<int32_t> rows_;
  const std::vector<int32_t> cols_;
};

}  // namespace

std::unique_ptr<RowMatMul> MakeScalarBlockDiagonalMatMul(const BlockDiagonalView& weights,
                                                         BlockIndex rows, BlockIndex cols) {
  return std::make_unique<ScalarBlockDiagonalMatMul>(weights, std::move(rows), std::move(cols));
}

}  // namespace nfcompile
