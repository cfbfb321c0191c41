// sum[i] += a[2i] b[2i] + a[2i+1] b[2i+1] in fp32, of bf16 pairs: vdpbf16ps.
#include <immintrin.h>

#include "roofline/loops.h"

namespace nfcompile::roofline {
namespace {

constexpr int kSums = 12;
constexpr double kFlopsPerRound = 2.0 * 2 * 16 * kSums;

bool Usable() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
}

void Run(int64_t rounds) {
  int word = 0;
  asm volatile("" : "+r"(word));  // not known to the compiler
  const __m512i bits = _mm512_set1_epi32(word);
  const __m512bh a = reinterpret_cast<const __m512bh&>(bits);
  __m512 sum[kSums];
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kSums; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
  }
  for (int i = 0; i < kSums; ++i) asm volatile("" : : "x"(sum[i]));  // used
}

}  // namespace

const ArithmeticLoop kBf16Avx512 = {"bf16-avx512", kFlopsPerRound, &Usable, &Run};

}  // namespace nfcompile::roofline
