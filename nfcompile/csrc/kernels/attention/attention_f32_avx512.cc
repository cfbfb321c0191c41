// attention_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_ATTENTION_ROWS 8
#include "kernels/attention/attention_simd.h"

namespace nfcompile {

const AttentionKernel attention_f32_avx512 = {
    .name = "attention_f32_avx512",
    .isa = Isa::kAvx512,
    .precision = Precision::kFloat32,
    .run = avx512::RunHead,
};

}  // namespace nfcompile
