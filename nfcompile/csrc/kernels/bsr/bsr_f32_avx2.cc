// bsr_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/bsr/bsr_simd.h"

namespace nfcompile {

const BsrKernel bsr_f32_avx2 = {
    .name = "bsr_f32_avx2",
    .isa = Isa::kAvx2,
    .width = avx2::kWidth,
    .strip_vectors = avx2::kPanelVectors,
    .matrix = avx2::BsrTimesMatrix,
};

}  // namespace nfcompile
