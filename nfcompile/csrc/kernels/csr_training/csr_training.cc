#include "kernels/csr_training/csr_training.h"

#include <algorithm>

#include "base/index_array.h"
#include "kernels/indptr.h"

namespace nfcompile {
namespace {

// Multiply-adds per batch row that finishing an output costs.
constexpr int64_t kRowCost = 2;

// The first row of part number `part`.
int64_t FirstRow(const CsrPattern& pattern, int64_t part, int64_t parts) {
  if (part >= parts) return pattern.rows;
  const auto cost = [&](int64_t row) { return pattern.indptr[row] + kRowCost * row; };
  const int64_t target = cost(pattern.rows) / parts * part;
  int64_t low = 0;
  int64_t high = (pattern.rows + kCsrTrainingRows - 1) / kCsrTrainingRows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (cost(std::min(middle * kCsrTrainingRows, pattern.rows)) < target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return std::min(low * kCsrTrainingRows, pattern.rows);
}

}  // namespace

const CsrTrainingKernel& FindCsrTrainingKernel(Isa isa) {
#if defined(__x86_64__)
  for (const CsrTrainingKernel* kernel :
       {&csr_training_f32_avx512, &csr_training_f32_avx2, &csr_training_f32_avx512_emulated}) {
    if (kernel->isa == isa) return *kernel;
  }
#endif
  return csr_training_f32_scalar;
}

int64_t WorkspaceFloats(const CsrTrainingKernel& kernel, const CsrStep& step) {
  if (kernel.width == 0) return 0;
  const int64_t vectors = (step.batch + kernel.width - 1) / kernel.width;
  return vectors * kernel.width * step.pattern.columns;
}

Range BalancedRows(const CsrPattern& pattern, int64_t part, int64_t parts) {
  return {FirstRow(pattern, part, parts), FirstRow(pattern, part + 1, parts)};
}

void CheckCsrPattern(const CsrPattern& pattern) {
  // The top bit tells: of an index or a step that is negative, or of what an index leaves to
  // the last column. Without a branch the loops become vectors.
  uint32_t bits = 0;
  const uint32_t last = static_cast<uint32_t>(pattern.columns) - 1;
  for (int64_t p = 0; p < pattern.nnz; ++p) {
    const auto index = static_cast<uint32_t>(pattern.indices[p]);
    bits |= index | (last - index);
  }
  for (int64_t row = 0; row < pattern.rows; ++row) {
    const auto begin = static_cast<uint32_t>(pattern.indptr[row]);
    const auto end = static_cast<uint32_t>(pattern.indptr[row + 1]);
    bits |= begin | end | (end - begin);
  }
  const bool whole = pattern.indptr[0] == 0 && pattern.indptr[pattern.rows] == pattern.nnz;
  if (whole && (bits >> 31) == 0 && (pattern.nnz == 0 || pattern.columns > 0)) return;
  // Says what is wrong, slowly.
  CheckIndptr("CSR", {pattern.indptr, pattern.rows + 1, IndexType::kInt32},
              {pattern.indices, pattern.nnz, IndexType::kInt32}, pattern.nnz, pattern.columns,
              "in_features");
}

}  // namespace nfcompile
