// csr_training_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#define NFCOMPILE_CSR_TRAINING_VECTORS 4
#include "kernels/csr_training/csr_training_simd.h"

namespace nfcompile {

const CsrTrainingKernel csr_training_f32_avx2 = {
    .name = "csr_training_f32_avx2",
    .isa = Isa::kAvx2,
    .width = avx2::kWidth,
    .pack = avx2::Pack,
    .forward = avx2::Forward,
    .dvalues = avx2::DValues,
    .dx = avx2::Dx,
};

}  // namespace nfcompile
