// csr_training_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_CSR_TRAINING_VECTORS 4
#include "kernels/csr_training/csr_training_simd.h"

namespace nfcompile {

const CsrTrainingKernel csr_training_f32_avx512 = {
    .name = "csr_training_f32_avx512",
    .isa = Isa::kAvx512,
    .width = avx512::kWidth,
    .pack = avx512::Pack,
    .forward = avx512::Forward,
    .dvalues = avx512::DValues,
    .dx = avx512::Dx,
};

}  // namespace nfcompile
