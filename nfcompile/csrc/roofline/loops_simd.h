// The fp32 loops over vectors of kWidth floats; see kernels/simd.h for what a source defines.
#ifndef NFCOMPILE_ROOFLINE_LOOPS_SIMD_H_
#define NFCOMPILE_ROOFLINE_LOOPS_SIMD_H_

#include "kernels/simd.h"
#include "roofline/loops.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Two units with a latency of 4 cycles keep 8 sums busy; 12 leave slack, and fit 16 registers
// with the two operands.
constexpr int kSums = 12;
constexpr double kFlopsPerRound = 2.0 * kSums * kWidth;

// sum[i] = sum[i] * a + b, which stays near 1.
NFCOMPILE_INLINE void MultiplyAdd(int64_t rounds) {
  float factor = 0.5f;
  asm volatile("" : "+x"(factor));  // not known to the compiler
  const Floats a = Splat(factor), b = Splat(1 - factor);
  Floats sum[kSums];
  for (int i = 0; i < kSums; ++i) sum[i] = Splat(1 + factor * i);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kSums; ++i) sum[i] = sum[i] * a + b;
  }
  for (int i = 0; i < kSums; ++i) asm volatile("" : : "x"(sum[i]));  // used
}

NFCOMPILE_INLINE float ReadAll(const void* data, int64_t bytes) {
  constexpr int kStreams = 8;
  const float* p = static_cast<const float*>(data);
  const float* const end = p + bytes / static_cast<int64_t>(sizeof(float));
  Floats sum[kStreams];
  for (int i = 0; i < kStreams; ++i) sum[i] = Splat(0);
  for (; p < end; p += kStreams * kWidth) {
    for (int i = 0; i < kStreams; ++i) sum[i] += Load(p + i * kWidth);
  }
  for (int i = 1; i < kStreams; ++i) sum[0] += sum[i];
  return sum[0][0];
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_ROOFLINE_LOOPS_SIMD_H_
