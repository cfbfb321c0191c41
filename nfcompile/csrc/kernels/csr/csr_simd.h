// The CSR kernel of one instruction set, for one row of x: lanes are output rows.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_
#define NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_

#include "kernels/csr/csr_kernel.h"
#include "kernels/element_simd.h"
#include "kernels/epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

template <typename Weight, typename Index>
void RunSlices(const CsrSlices& packed, const Index* column, const float* x,
               const Operands& operands, Range rows, int64_t y_offset) {
  float sums[kCsrChunk + kWidth];
  const Weight* all = packed.values.Data(Weight());
  for (int64_t first = rows.begin; first < rows.end; first += kCsrChunk) {
    const int64_t chunk = first / kCsrChunk;
    const int64_t last = rows.end - first < kCsrChunk ? rows.end - first : kCsrChunk;
    const CsrSlice* slice = packed.slices.data() + packed.chunk[chunk];
    const CsrSlice* end = packed.slices.data() + packed.chunk[chunk + 1];
    for (; slice != end; ++slice) {
      Floats even = Splat(0.0f);
      Floats odd = Splat(0.0f);
      const Weight* values = all + slice->begin;
      const Index* index = column + slice->begin;
      int32_t k = 0;
      for (; k + 2 <= slice->length; k += 2) {
        even += LoadElements(values + k * kWidth) * Gather(x, index + k * kWidth);
        odd += LoadElements(values + (k + 1) * kWidth) * Gather(x, index + (k + 1) * kWidth);
      }
      if (k < slice->length)
        even += LoadElements(values + k * kWidth) * Gather(x, index + k * kWidth);
      float lane_sum[kWidth];
      Store(lane_sum, even + odd);
      int64_t p = slice->rest;
      for (int lane = 0; lane < slice->lanes; ++lane) {
        float sum = lane_sum[lane];
        for (const int64_t stop = p + slice->rest_size[lane]; p < stop; ++p) {
          sum += LoadElement(all + p) * x[column[p]];
        }
        sums[slice->row[lane] - first] = sum;
      }
    }
    FinishRow(operands.epilogue, sums, last, first, operands.y, y_offset + first);
  }
}

template <typename Weight>
void RunRow(const CsrSlices& packed, const Operands& operands, int64_t m, Range rows) {
  const float* x = operands.x + m * packed.in_features;
  const int64_t y_offset = m * packed.out_features;
  if (packed.wide.data() == nullptr) {
    RunSlices<Weight>(packed, packed.narrow.data(), x, operands, rows, y_offset);
  } else {
    RunSlices<Weight>(packed, packed.wide.data(), x, operands, rows, y_offset);
  }
}

void CsrTimesVector(const CsrSlices& packed, const Operands& operands, int64_t m, Range rows) {
  if (packed.values.precision() == Precision::kBfloat16) {
    RunRow<uint16_t>(packed, operands, m, rows);
  } else {
    RunRow<float>(packed, operands, m, rows);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_
