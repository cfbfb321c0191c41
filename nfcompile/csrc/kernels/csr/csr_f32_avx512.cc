// csr_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/csr/csr_simd.h"

namespace nfcompile {

const CsrKernel csr_f32_avx512 = {
    .name = "csr_f32_avx512",
    .isa = Isa::kAvx512,
    .width = avx512::kWidth,
    .vector = avx512::CsrTimesVector,
};

}  // namespace nfcompile
