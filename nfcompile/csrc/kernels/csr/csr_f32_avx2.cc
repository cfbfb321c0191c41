// csr_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/csr/csr_simd.h"

namespace nfcompile {

const CsrKernel csr_f32_avx2 = {
    .name = "csr_f32_avx2",
    .isa = Isa::kAvx2,
    .width = avx2::kWidth,
    .vector = avx2::CsrTimesVector,
};

}  // namespace nfcompile
