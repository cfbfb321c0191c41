// One sparse product with packed weights, whatever its family:
//
//   y[m, o] = epilogue(sum_i W[o, i] x[m, i])
//
// Construction validates and packs (it may throw and allocate); Run does neither. One object
// may run on any number of threads at once.
//
// An input that is NaN or infinite reaches only the outputs whose row of W stores an entry for
// it: no kernel multiplies padding with a real input.
#ifndef NFCOMPILE_KERNELS_MATMUL_H_
#define NFCOMPILE_KERNELS_MATMUL_H_

#include <cstddef>
#include <cstdint>

#include "base/partition.h"
#include "kernels/epilogue.h"

namespace nfcompile {

// The run-time operands, row-major and of any alignment: x [batch, in], y [batch, out].
struct Operands {
  const float* x = nullptr;
  float* y = nullptr;
  int64_t batch = 0;
  Epilogue epilogue;
};

class MatMul {
 public:
  virtual ~MatMul() = default;
  MatMul(const MatMul&) = delete;
  MatMul& operator=(const MatMul&) = delete;

  int64_t in_features() const { return in_features_; }
  int64_t out_features() const { return out_features_; }

  // What the kernel has chosen to do, for people: "csr_f32_avx2, 11 panels of 192 columns".
  virtual const char* description() const = 0;

  virtual Work WorkFor(int64_t batch) const = 0;

  // Floats of workspace, 64-byte aligned, that a task of a product over `batch` rows needs.
  virtual size_t WorkspaceFloats(int64_t batch) const = 0;

  // Computes task number `task` of `grid`, which was made from WorkFor(operands.batch).
  virtual void RunTask(const Operands& operands, const Grid& grid, int64_t task,
                       float* workspace) const = 0;

 protected:
  MatMul(int64_t in_features, int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}

 private:
  const int64_t in_features_;
  const int64_t out_features_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_MATMUL_H_
