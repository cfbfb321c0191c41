// csr_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/csr/csr_picks_f32_simd.h"
#include "kernels/csr/csr_simd.h"

namespace nfcompile {

const CsrKernel csr_f32_avx512_emulated = {
    .name = "csr_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .width = avx512_emulated::kWidth,
    .vector = avx512_emulated::CsrTimesVector,
};

const CsrPickKernel csr_picks_avx512_emulated = {
    .name = "csr_picks_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .entries = 1,
    .most_stored = 3,
    .max_batch = 4,
    .workspace_floats = nullptr,
    .run = avx512_emulated::CsrPicksTimesRows,
};

}  // namespace nfcompile
