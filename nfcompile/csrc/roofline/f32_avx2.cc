#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "roofline/loops_simd.h"

namespace nfcompile::roofline {
namespace {

bool Usable() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

void Run(int64_t rounds) { avx2::MultiplyAdd(rounds); }

}  // namespace

const ArithmeticLoop kF32Avx2 = {"f32-avx2", avx2::kFlopsPerRound, &Usable, &Run};

float ReadAvx2(const void* data, int64_t bytes) { return avx2::ReadAll(data, bytes); }

}  // namespace nfcompile::roofline
