// csr_f32_scalar: the equation of csr.h as it stands.
#include <vector>

#include "kernels/csr/csr_kernel.h"

namespace nfcompile {
namespace {

class ScalarCsrMatMul final : public RowMatMul {
 public:
  explicit ScalarCsrMatMul(const CsrView& view)
      : in_features_(view.in_features),
        out_features_(view.out_features()),
        values_(view.values, view.values + view.nnz),
        indices_(view.nnz),
        indptr_(view.indptr.size()) {
    for (int64_t p = 0; p < view.nnz; ++p) indices_[p] = static_cast<int32_t>(view.indices[p]);
    for (int64_t o = 0; o < view.indptr.size(); ++o) indptr_[o] = view.indptr[o];
  }

  const char* description() const override { return "csr_f32_scalar"; }

  int64_t max_batch(bool) const override { return kScalarMaxBatch; }
  int64_t units() const override { return out_features_; }
  int64_t macs() const override { return static_cast<int64_t>(values_.size()) + out_features_; }

  void Run(const Operands& operands, int64_t part, int64_t parts, float*) const override {
    const Range rows = BalancedRange(indptr_.data(), out_features_, part, parts);
    for (int64_t m = 0; m < operands.batch; ++m) {
      const float* x = operands.x + m * in_features_;
      for (int64_t o = rows.begin; o < rows.end; ++o) {
        float sum = 0;
        for (int64_t p = indptr_[o]; p < indptr_[o + 1]; ++p)
          sum += values_[p] * x[indices_[p]];
        const int64_t index = m * out_features_ + o;
        operands.y[index] = ApplyEpilogue(operands.epilogue, sum, o, index);
      }
    }
  }

 private:
  const int64_t in_features_;
  const int64_t out_features_;
  std::vector<float> values_;
  std::vector<int32_t> indices_;
  std::vector<int64_t> indptr_;
};

}  // namespace

std::unique_ptr<RowMatMul> MakeScalarCsrMatMul(const CsrView& weights) {
  return std::make_unique<ScalarCsrMatMul>(weights);
}

}  // namespace nfcompile
