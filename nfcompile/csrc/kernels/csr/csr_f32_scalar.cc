// csr_f32_scalar: the equation of csr.h as it stands.
#include <vector>

#include "kernels/csr/csr_kernel.h"

namespace nfcompile {
namespace {

class ScalarCsrMatMul final : public MatMul {
 public:
  explicit ScalarCsrMatMul(const CsrView& view)
      : MatMul(view.in_features, view.out_features()),
        values_(view.values, view.values + view.nnz),
        indices_(view.nnz),
        indptr_(view.indptr.size()) {
    for (int64_t p = 0; p < view.nnz; ++p) indices_[p] = static_cast<int32_t>(view.indices[p]);
    for (int64_t o = 0; o < view.indptr.size(); ++o) indptr_[o] = view.indptr[o];
  }

  const char* description() const override { return "csr_f32_scalar"; }

  Work WorkFor(int64_t batch) const override {
    return {.batch = batch,
            .macs_per_row = static_cast<int64_t>(values_.size()) + out_features(),
            .units = out_features(),
            .max_row_ranges = out_features()};
  }

  size_t WorkspaceFloats(int64_t) const override { return 0; }

  void RunTask(const Operands& operands, const Grid& grid, int64_t task,
               float*) const override {
    const Range batch = grid.Batch(task);
    const Range rows =
        BalancedRange(indptr_.data(), out_features(), grid.RowRange(task), grid.row_ranges());
    for (int64_t m = batch.begin; m < batch.end; ++m) {
      const float* x = operands.x + m * in_features();
      for (int64_t o = rows.begin; o < rows.end; ++o) {
        float sum = 0;
        for (int64_t p = indptr_[o]; p < indptr_[o + 1]; ++p)
          sum += values_[p] * x[indices_[p]];
        const int64_t index = m * out_features() + o;
        operands.y[index] = ApplyEpilogue(operands.epilogue, sum, o, index);
      }
    }
  }

 private:
  std::vector<float> values_;
  std::vector<int32_t> indices_;
  std::vector<int64_t> indptr_;
};

}  // namespace

std::unique_ptr<MatMul> MakeScalarCsrMatMul(const CsrView& weights) {
  return std::make_unique<ScalarCsrMatMul>(weights);
}

}  // namespace nfcompile
