// csr_training_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_CSR_TRAINING_VECTORS 4
#include "kernels/csr_training/csr_training_simd.h"

namespace nfcompile {

const CsrTrainingKernel csr_training_f32_avx512_emulated = {
    .name = "csr_training_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .width = avx512_emulated::kWidth,
    .pack = avx512_emulated::Pack,
    .forward = avx512_emulated::Forward,
    .dvalues = avx512_emulated::DValues,
    .dx = avx512_emulated::Dx,
};

}  // namespace nfcompile
