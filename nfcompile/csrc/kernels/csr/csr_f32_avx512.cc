// csr_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/csr/csr_picks_f32_simd.h"
#include "kernels/csr/csr_simd.h"

namespace nfcompile {

const CsrKernel csr_f32_avx512 = {
    .name = "csr_f32_avx512",
    .isa = Isa::kAvx512,
    .width = avx512::kWidth,
    .vector = avx512::CsrTimesVector,
};

const CsrPickKernel csr_picks_avx512 = {
    .name = "csr_picks_f32_avx512",
    .isa = Isa::kAvx512,
    .entries = 1,
    .most_stored = 3,
    .max_batch = 4,
    .workspace_floats = nullptr,
    .run = avx512::CsrPicksTimesRows,
};

}  // namespace nfcompile
