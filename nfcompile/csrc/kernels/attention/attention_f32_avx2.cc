// attention_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#define NFCOMPILE_ATTENTION_ROWS 6
#include "kernels/attention/attention_simd.h"

namespace nfcompile {

const AttentionKernel attention_f32_avx2 = {
    .name = "attention_f32_avx2",
    .isa = Isa::kAvx2,
    .precision = Precision::kFloat32,
    .run = avx2::RunHead,
};

}  // namespace nfcompile
