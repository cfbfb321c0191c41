// bsr_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/bsr/bsr_f32_simd.h"

namespace nfcompile {

const BsrKernel bsr_f32_avx512 = {
    .name = "bsr_f32_avx512",
    .isa = Isa::kAvx512,
    .width = avx512::kWidth,
    .strip_vectors = avx512::kPanelVectors,
    .columns = 1,
    .batch_rows = 0,
    .workspace_floats = nullptr,
    .matrix = avx512::BsrTimesMatrix,
};

}  // namespace nfcompile
