// attention_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_ATTENTION_ROWS 8
#include "kernels/attention/attention_simd.h"

namespace nfcompile {

const AttentionKernel attention_f32_avx512_emulated = {
    .name = "attention_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .precision = Precision::kFloat32,
    .run = avx512_emulated::RunHead,
};

}  // namespace nfcompile
