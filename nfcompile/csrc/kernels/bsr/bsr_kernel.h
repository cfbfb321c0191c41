// Packed BSR weights and the table of kernels that read them.
#ifndef NFCOMPILE_KERNELS_BSR_BSR_KERNEL_H_
#define NFCOMPILE_KERNELS_BSR_BSR_KERNEL_H_

#include <cstdint>
#include <memory>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/bsr/bsr.h"
#include "kernels/matmul.h"
#include "kernels/weight_array.h"

namespace nfcompile {

// The rows of a block are padded to `vectors` vectors and cut into strips of at most
// `strip_vectors`. A block row is stored strip by strip, each [block][c][lane], or by pairs of
// columns [block][c / 2][lane][c % 2], so that a pass over one strip reads its weights in one
// stream.
struct BsrWeights {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  int64_t vectors = 0;
  AlignedArray<int64_t> indptr;  // [out / block_rows + 1]
  AlignedArray<int32_t> starts;  // first column of each block
  WeightArray values;
};

// One entry of the table. Computes the block rows `rows` for batch rows `batch`, of which there
// are at most `batch_rows` where that is not 0; the workspace has `workspace_floats`.
struct BsrKernel {
  const char* name;
  Isa isa;
  int width;          // floats in a vector
  int strip_vectors;  // vectors of a strip
  int columns;        // of a block that a lane takes in a step: 1, or 2 in bf16
  int64_t batch_rows;
  size_t (*workspace_floats)(const BsrWeights& weights);  // may be null: none
  void (*matrix)(const BsrWeights& weights, const Operands& operands, Range batch, Range rows,
                 float* workspace);
};

extern const BsrKernel bsr_f32_avx2;
extern const BsrKernel bsr_f32_avx512;
extern const BsrKernel bsr_f32_avx512_emulated;
extern const BsrKernel bsr_bf16_avx512_bf16;

BsrWeights PackBsr(const BsrView& view, const BsrKernel& kernel, Precision precision);

// The readable twin: plain loops over the three arrays.
std::unique_ptr<RowMatMul> MakeScalarBsrMatMul(const BsrView& weights);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_BSR_BSR_KERNEL_H_
