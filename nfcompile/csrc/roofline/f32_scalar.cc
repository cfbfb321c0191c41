// Vectors of four, without a fused multiply-add: what the scalar kernels may be compiled to.
#define NFCOMPILE_ISA scalar
#define NFCOMPILE_WIDTH 4
#include "roofline/loops_simd.h"

namespace nfcompile::roofline {
namespace {

bool Usable() { return true; }

void Run(int64_t rounds) { scalar::MultiplyAdd(rounds); }

}  // namespace

const ArithmeticLoop kF32Scalar = {"f32-scalar", scalar::kFlopsPerRound, &Usable, &Run};

float ReadScalar(const void* data, int64_t bytes) { return scalar::ReadAll(data, bytes); }

}  // namespace nfcompile::roofline
