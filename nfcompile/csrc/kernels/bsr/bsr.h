// BSR: sparse weights in dense blocks of R x C, for any R, C >= 1.
//
//   y[m, R i + r] = epilogue(sum over p in indptr[i] .. indptr[i+1], c < C of
//                            values[p, r, c] x[m, C indices[p] + c])
//
// Every element of a block counts as stored, zeros too: NaN in x reaches all rows of the block.
#ifndef NFCOMPILE_KERNELS_BSR_BSR_H_
#define NFCOMPILE_KERNELS_BSR_BSR_H_

#include <cstdint>

#include "base/index_array.h"
#include "base/isa.h"
#include "kernels/matmul.h"

namespace nfcompile {

// Weights as a model stores them; not owned.
struct BsrView {
  const float* values = nullptr;  // [blocks, block_rows, block_columns]
  int64_t blocks = 0;
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  IndexArray indices;  // block columns
  IndexArray indptr;
  int64_t in_features = 0;

  int64_t out_features() const { return (indptr.size() - 1) * block_rows; }
};

// Throws std::invalid_argument on malformed weights.
void Check(const BsrView& weights);

// Validates, packs and picks the kernel. Throws std::invalid_argument on malformed weights.
MatMul MakeBsrMatMul(const BsrView& weights, Isa isa, Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_BSR_BSR_H_
