// bsr_f32_scalar: the equation of bsr.h as it stands.
#include <vector>

#include "kernels/bsr/bsr_kernel.h"

namespace nfcompile {
namespace {

class ScalarBsrMatMul final : public RowMatMul {
 public:
  explicit ScalarBsrMatMul(const BsrView& view)
      : in_features_(view.in_features),
        out_features_(view.out_features()),
        block_rows_(view.block_rows),
        block_columns_(view.block_columns),
        values_(view.values, view.values + view.blocks * view.block_rows * view.block_columns),
        indices_(view.blocks),
        indptr_(view.indptr.size()) {
    for (int64_t p = 0; p < view.blocks; ++p) indices_[p] = view.indices[p];
    for (int64_t i = 0; i < view.indptr.size(); ++i) indptr_[i] = view.indptr[i];
  }

  const char* description() const override { return "bsr_f32_scalar"; }

  int64_t max_batch(bool) const override { return kScalarMaxBatch; }
  int64_t units() const override { return static_cast<int64_t>(indptr_.size()) - 1; }
  int64_t macs() const override { return static_cast<int64_t>(values_.size()) + out_features_; }

  void Run(const Operands& operands, int64_t part, int64_t parts, float*) const override {
    const Range rows = BalancedRange(indptr_.data(), units(), part, parts);
    for (int64_t m = 0; m < operands.batch; ++m) {
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        for (int64_t r = 0; r < block_rows_; ++r) {
          const int64_t o = i * block_rows_ + r;
          const int64_t index = m * out_features_ + o;
          const float sum = Sum(operands.x + m * in_features_, i, r);
          operands.y[index] = ApplyEpilogue(operands.epilogue, sum, o, index);
        }
      }
    }
  }

 private:
  float Sum(const float* x, int64_t i, int64_t r) const {
    float sum = 0;
    for (int64_t p = indptr_[i]; p < indptr_[i + 1]; ++p) {
      const float* values = values_.data() + (p * block_rows_ + r) * block_columns_;
      for (int64_t c = 0; c < block_columns_; ++c) {
        sum += values[c] * x[indices_[p] * block_columns_ + c];
      }
    }
    return sum;
  }

  const int64_t in_features_;
  const int64_t out_features_;
  const int64_t block_rows_;
  const int64_t block_columns_;
  std::vector<float> values_;
  std::vector<int64_t> indices_;
  std::vector<int64_t> indptr_;
};

}  // namespace

std::unique_ptr<RowMatMul> MakeScalarBsrMatMul(const BsrView& weights) {
  return std::make_unique<ScalarBsrMatMul>(weights);
}

}  // namespace nfcompile
