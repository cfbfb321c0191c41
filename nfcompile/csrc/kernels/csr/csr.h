// CSR: unstructured sparse weights.
//
//   y[m, o] = epilogue(sum over p in indptr[o] .. indptr[o+1] of values[p] x[m, indices[p]])
//
// Indices of a row need not be sorted, and duplicates add up.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_H_
#define NFCOMPILE_KERNELS_CSR_CSR_H_

#include <cstdint>
#include <vector>

#include "base/index_array.h"
#include "base/isa.h"
#include "kernels/matmul.h"

namespace nfcompile {

// Weights as a model stores them; not owned.
struct CsrView {
  const float* values = nullptr;
  int64_t nnz = 0;
  IndexArray indices;
  IndexArray indptr;
  int64_t in_features = 0;

  int64_t out_features() const { return indptr.size() - 1; }
};

// Throws std::invalid_argument on malformed weights.
void Check(const CsrView& weights);

// Validates, packs and picks the kernel. `chain_entries`: how many entries all layers have that
// run on one tile, where this is not the only one. `generate`: whether code may be generated
// for tiles, where the instruction set has it. Throws std::invalid_argument on malformed
// weights.
MatMul MakeCsrMatMul(const CsrView& weights, Isa isa, Precision precision,
                     int64_t chain_entries = 0, bool generate = true);

// The code that is generated for these weights, which must be well-formed; on any machine.
std::vector<uint8_t> GenerateCsr(const CsrView& weights);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_CSR_H_
