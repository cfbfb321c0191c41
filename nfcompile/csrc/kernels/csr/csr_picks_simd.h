// The kernel of csr_picks.h: slices, a few rows of x at a time.
//
// A `Step` holds what lanes need in one step, and adds what they pick out of a window of x:
// Step(weights, step), and Add(sum, window).
#ifndef NFCOMPILE_KERNELS_CSR_CSR_PICKS_SIMD_H_
#define NFCOMPILE_KERNELS_CSR_CSR_PICKS_SIMD_H_

#include "kernels/csr/csr_kernel.h"
#include "kernels/csr/csr_picks.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

static_assert(kPickLanes == kWidth);

// sum[m] = the products of one slice with kRows rows of x.
template <typename Step, int kRows>
NFCOMPILE_INLINE void RunSteps(const CsrPicks& weights, const CsrPickSlice& slice,
                               const typename Step::Element* x, Floats (&sum)[kRows]) {
  // Independent sums hide the latency of the multiply-add.
  constexpr int kChains = kRows <= 2 ? 4 : kRows <= 4 ? 2 : 1;
  Floats chain[kChains][kRows] = {};
  const auto add = [&](int c, int64_t s) __attribute__((always_inline)) {
    const Step step(weights, s);
    const auto* window = x + weights.window[s];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      chain[c][m] = step.Add(chain[c][m], window + m * weights.x_stride);
    }
  };
  int64_t s = slice.begin;
  for (; s + kChains <= slice.end; s += kChains) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) add(c, s + c);
  }
  for (; s < slice.end; ++s) add(0, s);
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    sum[m] = chain[0][m];
#pragma GCC unroll 4
    for (int c = 1; c < kChains; ++c) sum[m] += chain[c][m];
  }
}

// Outputs `rows` of kRows rows of x, the first being row m of the batch.
template <typename Step, int kRows>
void RunPicks(const CsrPicks& weights, const Operands& operands, int64_t m,
              const typename Step::Element* x, Range rows) {
  float sums[kRows][kCsrChunk + kWidth];
  for (int64_t first = rows.begin; first < rows.end; first += kCsrChunk) {
    const int64_t* chunk = weights.chunk.data() + first / kCsrChunk;
    for (int64_t i = chunk[0]; i < chunk[1]; ++i) {
      const CsrPickSlice& slice = weights.slices[i];
      Floats sum[kRows];
      RunSteps<Step>(weights, slice, x, sum);
      for (int r = 0; r < kRows; ++r) {
        float lanes[kWidth];
        Store(lanes, sum[r]);
        for (int lane = 0; lane < slice.lanes; ++lane) {
          sums[r][slice.row[lane] - first] = lanes[lane];
        }
      }
    }
    const int64_t last = rows.end - first < kCsrChunk ? rows.end - first : kCsrChunk;
    for (int r = 0; r < kRows; ++r) {
      FinishRow(operands.epilogue, sums[r], last, first, operands.y,
                (m + r) * weights.out_features + first);
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_CSR_CSR_PICKS_SIMD_H_
