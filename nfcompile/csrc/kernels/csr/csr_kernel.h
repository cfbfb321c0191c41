// Packed CSR weights and the table of kernels that read them.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_
#define NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/csr/csr.h"
#include "kernels/matmul.h"

namespace nfcompile {

// Output rows are cut apart at multiples of this many.
constexpr int64_t kCsrChunk = 64;

// For batches: the columns are cut into panels, so that the part of x that a pass reads stays
// in the second-level cache. The entries of one row in one panel are a segment. Segments run
// panel by panel and chunk by chunk; within a chunk they are sorted by length, so that the
// processor foresees where each loop over a segment ends (Zen 3: 25 GFLOP/s for 17 at batch 8,
// 43 for 41 at batch 32).
//
// Segment number panel * out + i begins at entry segment[panel * out + i], and belongs to row
// row[panel * out + i] of the chunk that i lies in.
struct CsrPanels {
  int64_t columns = 0;  // of a panel, at most 65536
  int64_t panels = 0;
  AlignedArray<int64_t> segment;  // [panels * out + 1]
  AlignedArray<uint8_t> row;      // [panels * out]
  AlignedArray<float> values;
  AlignedArray<uint16_t> column;  // counted from the first of the panel
};

// For one row of x: the rows of a chunk are sorted by length; `width` neighbours make a slice,
// whose first `length` entries interleave, [k][lane]; what longer rows have left follows lane
// by lane. Rows that fill no slice are all rest. No padding: zero times infinity is NaN.
struct CsrSlice {
  int64_t begin;          // of the interleaved entries
  int64_t rest;           // of the entries left over
  int32_t length;         // interleaved entries per lane
  int32_t lanes;          // kernel width, or fewer for rows that fill no slice
  int32_t row[16];        // output row of each lane
  int32_t rest_size[16];  // entries left over of each lane
};

struct CsrSlices {
  std::vector<int64_t> chunk;  // first slice of each chunk of kCsrChunk rows, and the end
  std::vector<CsrSlice> slices;
  AlignedArray<float> values;
  AlignedArray<uint16_t> narrow;  // column of each entry where in_features <= 65536
  AlignedArray<int32_t> wide;     // else
};

struct CsrWeights {
  int64_t in_features = 0;
  int64_t out_features = 0;
  CsrPanels panels;
  CsrSlices slices;
};

// One entry of the table. Both compute outputs `rows` (cut at chunks) for batch rows `batch`.
struct CsrKernel {
  const char* name;
  Isa isa;
  int width;       // floats in a vector
  int batch_tile;  // batch rows that one pass over the weights serves
  // One row of x, batch.size() == 1.
  void (*vector)(const CsrWeights& weights, const Operands& operands, Range batch, Range rows);
  // Workspace: batch_tile * (panel columns + rows) floats, 64-byte aligned.
  void (*matrix)(const CsrWeights& weights, const Operands& operands, Range batch, Range rows,
                 float* workspace);
};

extern const CsrKernel csr_f32_avx2;
extern const CsrKernel csr_f32_avx512;
extern const CsrKernel csr_f32_avx512_emulated;

CsrWeights PackCsr(const CsrView& view, const CsrKernel& kernel);

// The readable twin: plain loops over the three arrays.
std::unique_ptr<MatMul> MakeScalarCsrMatMul(const CsrView& weights);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_
