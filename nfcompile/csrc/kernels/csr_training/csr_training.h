// The products of a training step with a CSR weight that is stored as torch stores it:
//
//   y[m, o]    = sum over p in indptr[o] .. indptr[o+1] of values[p] x[m, indices[p]]
//   dx[m, i]   = sum over p with indices[p] = i of values[p] dy[m, row of p]
//   dvalues[p] = sum over m of dy[m, row of p] x[m, indices[p]]
//
// Values change with every step, so nothing is packed but activations: the batch is cut into
// tiles, and a tile is transposed so that its batch rows t are neighbours, xt[i, t]. Every
// entry is then one broadcast and a few multiply-adds on whole vectors, wherever its column
// lies.
//
// These kernels start no threads. Their ranges may run at the same time; the results are the
// same bits however the ranges are cut.
#ifndef NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_H_
#define NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_H_

#include <cstdint>

#include "base/isa.h"
#include "base/partition.h"

namespace nfcompile {

// Rows are cut apart at multiples of this many, so that tasks write whole cache lines.
constexpr int64_t kCsrTrainingRows = 16;

// Not owned. Indices of a row need not be sorted, and duplicates add up.
struct CsrPattern {
  const int32_t* indices = nullptr;  // [nnz]
  const int32_t* indptr = nullptr;   // [rows + 1]
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t nnz = 0;
};

// Operands of the three products; each reads and writes only those in its equation.
struct CsrStep {
  CsrPattern pattern;
  const float* values = nullptr;  // [nnz]
  const float* x = nullptr;       // [batch, columns]
  const float* dy = nullptr;      // [batch, rows]
  float* y = nullptr;             // [batch, rows]
  float* dx = nullptr;            // [batch, columns]
  float* dvalues = nullptr;       // [nnz]
  int64_t batch = 0;
  bool accumulate = false;  // dvalues are added to, as for a later part of the batch
};

// One entry of the table. `workspace` has WorkspaceFloats(kernel, step) floats, is 64-byte
// aligned and shared by all ranges of a product.
struct CsrTrainingKernel {
  const char* name;
  Isa isa;
  int width;  // floats in a vector; 0: needs no workspace
  // Transposes columns `columns` of x into the workspace, which `forward` and `dvalues` read.
  // Ranges start at multiples of kCsrTrainingRows.
  void (*pack)(const CsrStep& step, Range columns, float* workspace);
  // y for the rows `rows`, which start at a multiple of kCsrTrainingRows.
  void (*forward)(const CsrStep& step, Range rows, const float* workspace);
  // dvalues of the entries of `rows`.
  void (*dvalues)(const CsrStep& step, Range rows, const float* workspace);
  // dx for the batch rows `batch`, which start at a multiple of `width`; overwrites its part of
  // the workspace.
  void (*dx)(const CsrStep& step, Range batch, float* workspace);
};

// The kernel of an instruction set.
const CsrTrainingKernel& FindCsrTrainingKernel(Isa isa);

// Floats of workspace that a step needs: its batch, filled up to whole vectors, times columns.
int64_t WorkspaceFloats(const CsrTrainingKernel& kernel, const CsrStep& step);

// Range number `part` of `parts` over the rows, cut so that every part costs about the same.
Range BalancedRows(const CsrPattern& pattern, int64_t part, int64_t parts);

// Throws std::invalid_argument unless indptr runs from 0 to nnz without descending and every
// index lies in 0 .. columns - 1.
void CheckCsrPattern(const CsrPattern& pattern);

extern const CsrTrainingKernel csr_training_f32_scalar;
extern const CsrTrainingKernel csr_training_f32_avx2;
extern const CsrTrainingKernel csr_training_f32_avx512;
extern const CsrTrainingKernel csr_training_f32_avx512_emulated;

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_H_
