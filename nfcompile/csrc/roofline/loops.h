// The loops that are timed, one set per instruction set, and which of them this machine runs.
#ifndef NFCOMPILE_ROOFLINE_LOOPS_H_
#define NFCOMPILE_ROOFLINE_LOOPS_H_

#include <cstdint>

namespace nfcompile::roofline {

// Independent multiply-adds in registers: no memory, no waiting for a result.
struct ArithmeticLoop {
  const char* name;        // <dtype>-<isa>
  double flops_per_round;  // two per multiply-add
  bool (*usable)();        // processor and operating system
  void (*run)(int64_t rounds);
};

// Reads a buffer front to back: `bytes` is a multiple of 1024. Gives a sum, so that the reads
// cannot be left out.
using ReadLoop = float (*)(const void* data, int64_t bytes);

extern const ArithmeticLoop kF32Scalar;
float ReadScalar(const void* data, int64_t bytes);

#if defined(__x86_64__)
extern const ArithmeticLoop kF32Avx2;
extern const ArithmeticLoop kF32Avx512;
extern const ArithmeticLoop kBf16Avx512;
extern const ArithmeticLoop kBf16Amx;
float ReadAvx2(const void* data, int64_t bytes);
float ReadAvx512(const void* data, int64_t bytes);
#endif

}  // namespace nfcompile::roofline

#endif  // NFCOMPILE_ROOFLINE_LOOPS_H_
