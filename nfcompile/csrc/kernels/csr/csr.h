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
#include "kernels/tile/window.h"

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

// What is known of a product when its weights are packed.
struct CsrUse {
  int64_t chain_entries = 0;       // of all layers on one tile, where it is not the only one
  const Window* window = nullptr;  // of a convolution
  bool generate = true;  // whether code may be generated, where the instruction set has it
};

// Validates, packs and picks the kernel. Throws std::invalid_argument on malformed weights.
MatMul MakeCsrMatMul(const CsrView& weights, Isa isa, Precision precision,
                     const CsrUse& use = {});

// The code that is generated for these weights, which must be well-formed; on any machine.
std::vector<uint8_t> GenerateCsr(const CsrView& weights, const Window* window = nullptr);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_CSR_H_
