#include "kernels/csr/csr.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/text.h"
#include "kernels/csr/csr_kernel.h"
#include "kernels/indptr.h"

namespace nfcompile {
namespace {

const CsrKernel* FindKernel(Isa isa) {
#if defined(__x86_64__)
  for (const CsrKernel* kernel : {&csr_f32_avx512, &csr_f32_avx2, &csr_f32_avx512_emulated}) {
    if (kernel->isa == isa) return kernel;
  }
#endif
  return nullptr;
}

// Each row range transposes its own copy of x, which costs about as much as this many
// multiply-adds per element.
constexpr int64_t kTransposeMacs = 16;

class SimdCsrMatMul final : public MatMul {
 public:
  SimdCsrMatMul(const CsrView& view, const CsrKernel& kernel)
      : MatMul(view.in_features, view.out_features()),
        kernel_(kernel),
        weights_(PackCsr(view, kernel)),
        description_(Cat(kernel.name, ", ", weights_.panels.panels, " panels of ",
                         weights_.panels.columns, " columns")) {
    const int64_t out = view.out_features();
    for (int64_t o = 0; o < out; o += kCsrChunk) cost_.push_back(view.indptr[o] + 2 * o);
    cost_.push_back(view.nnz + 2 * out);
  }

  const char* description() const override { return description_.c_str(); }

  Work WorkFor(int64_t batch) const override {
    const int64_t units = static_cast<int64_t>(cost_.size()) - 1;
    const int64_t macs = cost_.back();
    const int64_t repeatable = macs / (kTransposeMacs * std::max<int64_t>(in_features(), 1));
    return {.batch = batch,
            .batch_tile = batch == 1 ? 1 : kernel_.batch_tile,
            .macs_per_row = macs,
            .units = std::max<int64_t>(units, 1),
            .max_row_ranges =
                batch == 1 ? std::max<int64_t>(units, 1) : std::max<int64_t>(repeatable, 1)};
  }

  size_t WorkspaceFloats(int64_t batch) const override {
    if (batch <= 1) return 0;
    return kernel_.batch_tile * (weights_.panels.columns + out_features() + kernel_.width);
  }

  void RunTask(const Operands& operands, const Grid& grid, int64_t task,
               float* workspace) const override {
    const Range batch = grid.Batch(task);
    const Range chunks = BalancedRange(cost_.data(), static_cast<int64_t>(cost_.size()) - 1,
                                       grid.RowRange(task), grid.row_ranges());
    const Range rows{chunks.begin * kCsrChunk,
                     std::min(chunks.end * kCsrChunk, out_features())};
    if (rows.size() <= 0) return;
    if (operands.batch == 1) {
      kernel_.vector(weights_, operands, batch, rows);
    } else {
      kernel_.matrix(weights_, operands, batch, rows, workspace);
    }
  }

 private:
  const CsrKernel& kernel_;
  const CsrWeights weights_;
  const std::string description_;
  std::vector<int64_t> cost_;  // prefix sums over chunks
};

}  // namespace

std::unique_ptr<MatMul> MakeCsrMatMul(const CsrView& weights, Isa isa) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  CheckIndptr("CSR", weights.indptr, weights.indices, weights.nnz, weights.in_features,
              "in_features");
  const CsrKernel* kernel = FindKernel(isa);
  if (kernel == nullptr) return MakeScalarCsrMatMul(weights);
  return std::make_unique<SimdCsrMatMul>(weights, *kernel);
}

}  // namespace nfcompile
