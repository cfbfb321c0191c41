// Block-diagonal weights behind a row and a column permutation: butterfly factors of any
// radix, Monarch factors, Clos stages, grouped layers.
//
//   y[m, row(b, e)] = epilogue(sum over c < C of values[b, e, c] x[m, col(b, c)])
//
// row and col are lists (-1 marks padding: reads as zero, or is discarded), or the rule of a
// stride s, for which nothing is read from memory:
//
//   row(b, e) = (b / s) (R s) + e s + b % s        col(b, c) = (b / s) (C s) + c s + b % s
//
// s = 1 leaves blocks contiguous; s = blocks deals them out like cards. Every output belongs to
// exactly one row of one block. Every element of a block counts as stored, zeros too.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_H_

#include <cstdint>

#include "base/index_array.h"
#include "base/isa.h"
#include "kernels/matmul.h"

namespace nfcompile {

// Where the rows, or the columns, of the blocks lie: a list or a rule.
struct BlockSide {
  bool has_list = false;
  IndexArray list;     // [blocks * extent] where has_list
  int64_t stride = 0;  // of the rule where not
};

// Weights as a model stores them; not owned.
struct BlockDiagonalView {
  const float* values = nullptr;  // [blocks, block_rows, block_columns]
  int64_t blocks = 0;
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  BlockSide rows;
  BlockSide cols;
  int64_t in_features = 0;
  int64_t out_features = 0;
};

// Throws std::invalid_argument on sizes that no weight has; its sides are checked as they are
// resolved.
void Check(const BlockDiagonalView& weights);

// Validates, packs and picks the kernel. Throws std::invalid_argument on malformed weights.
MatMul MakeBlockDiagonalMatMul(const BlockDiagonalView& weights, Isa isa, Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_H_
