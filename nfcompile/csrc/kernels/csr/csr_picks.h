// CSR weights for a few rows of x, where one instruction picks any elements out of two vectors:
//
//   sum[lane] += value[step, lane] x[m, window[step] + place[step, lane]]     lane < 16
//
// The rows of a chunk are sorted by length; 16 neighbours, the lanes, make a slice. A step
// reads a window of x, two vectors wide, and each lane takes its next entry, or is idle where
// that lies beyond. The window begins at the vector in which the lane that is furthest behind
// goes on, so that lanes with many entries near each other have the time to catch up: at
// density 0.10, 1.57 values are stored for each entry, at 0.05, 2.0.
//
// In bf16 a vector holds twice the columns, and a lane takes two entries a step: 1.37 and 1.71.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_PICKS_H_
#define NFCOMPILE_KERNELS_CSR_CSR_PICKS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/csr/csr.h"
#include "kernels/matmul.h"
#include "kernels/weight_array.h"

namespace nfcompile {

constexpr int kPickLanes = 16;
// The place of a lane that is idle: x is not read, since zero times infinity is NaN.
constexpr uint8_t kIdle = 0x80;

struct CsrPickSlice {
  int64_t begin = 0;  // of its steps
  int64_t end = 0;
  int32_t lanes = 0;
  int32_t row[kPickLanes] = {};  // output row of each lane
};

struct CsrPicks {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t x_stride = 0;        // elements between the rows of x that the kernel reads
  std::vector<int64_t> chunk;  // first slice of each chunk of kCsrChunk rows, and the end
  std::vector<CsrPickSlice> slices;
  AlignedArray<int32_t> window;  // [step] first column
  AlignedArray<uint8_t> place;   // [step, lane, entry] column in the window, or kIdle
  WeightArray values;            // [step, lane, entry]
};

// One entry of the table; computes outputs `rows` (cut at chunks) of all rows of x.
struct CsrPickKernel {
  const char* name;
  Isa isa;
  int entries;          // of a lane in a step
  int64_t most_stored;  // values for each entry; beyond, gathering x is faster
  int64_t max_batch;    // rows of x for which it beats tiles
  size_t (*workspace_floats)(const CsrPicks& weights);
  void (*run)(const CsrPicks& weights, const Operands& operands, Range rows, float* workspace);
};

extern const CsrPickKernel csr_picks_avx512;
extern const CsrPickKernel csr_picks_avx512_emulated;
extern const CsrPickKernel csr_picks_avx512_bf16;

// Null where no kernel of the table fits, a row of x is shorter than a window, or lanes would
// be idle too often.
std::unique_ptr<RowMatMul> MakePickedCsrMatMul(const CsrView& view, Isa isa,
                                               Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_CSR_PICKS_H_
