// csr_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_CSR_VECTORS 4
#include "kernels/csr/csr_simd.h"

namespace nfcompile {

const CsrKernel csr_f32_avx512_emulated = {
    .name = "csr_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .width = avx512_emulated::kWidth,
    .batch_tile = avx512_emulated::kMaxVectors * avx512_emulated::kWidth,
    .vector = avx512_emulated::CsrTimesVector,
    .matrix = avx512_emulated::CsrTimesMatrix,
};

}  // namespace nfcompile
