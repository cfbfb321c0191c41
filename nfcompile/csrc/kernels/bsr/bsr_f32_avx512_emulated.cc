// bsr_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/bsr/bsr_f32_simd.h"

namespace nfcompile {

const BsrKernel bsr_f32_avx512_emulated = {
    .name = "bsr_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .width = avx512_emulated::kWidth,
    .strip_vectors = avx512_emulated::kPanelVectors,
    .columns = 1,
    .batch_rows = 0,
    .workspace_floats = nullptr,
    .matrix = avx512_emulated::BsrTimesMatrix,
};

}  // namespace nfcompile
