// bsr_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/bsr/bsr_f32_simd.h"

namespace nfcompile {

const BsrKernel bsr_f32_avx2 = {
    .name = "bsr_f32_avx2",
    .isa = Isa::kAvx2,
    .width = avx2::kWidth,
    .strip_vectors = avx2::kPanelVectors,
    .columns = 1,
    .batch_rows = 0,
    .workspace_floats = nullptr,
    .matrix = avx2::BsrTimesMatrix,
};

}  // namespace nfcompile
