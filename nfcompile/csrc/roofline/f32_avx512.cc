#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "roofline/loops_simd.h"

namespace nfcompile::roofline {
namespace {

bool Usable() { return __builtin_cpu_supports("avx512f"); }

void Run(int64_t rounds) { avx512::MultiplyAdd(rounds); }

}  // namespace

const ArithmeticLoop kF32Avx512 = {"f32-avx512", avx512::kFlopsPerRound, &Usable, &Run};

float ReadAvx512(const void* data, int64_t bytes) { return avx512::ReadAll(data, bytes); }

}  // namespace nfcompile::roofline
