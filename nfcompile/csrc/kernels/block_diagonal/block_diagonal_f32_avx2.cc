// block_diagonal_f32_avx2: 8 lanes, 16 registers.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/block_diagonal/block_diagonal_simd.h"

namespace nfcompile {

const BlockDiagonalKernel block_diagonal_f32_avx2 = {
    .name = "block_diagonal_f32_avx2",
    .isa = Isa::kAvx2,
    .width = avx2::kWidth,
    .strip_vectors = avx2::kPanelVectors,
    .matrix = avx2::BlockDiagonalTimesMatrix,
};

}  // namespace nfcompile
