// block_diagonal_f32_avx512: 16 lanes, 32 registers.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/block_diagonal/block_diagonal_simd.h"

namespace nfcompile {

const BlockDiagonalKernel block_diagonal_f32_avx512 = {
    .name = "block_diagonal_f32_avx512",
    .isa = Isa::kAvx512,
    .width = avx512::kWidth,
    .strip_vectors = avx512::kPanelVectors,
    .matrix = avx512::BlockDiagonalTimesMatrix,
};

}  // namespace nfcompile
