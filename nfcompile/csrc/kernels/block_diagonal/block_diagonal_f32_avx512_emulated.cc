// block_diagonal_f32_avx512_emulated: the 16-lane code compiled for AVX2, for tests.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/block_diagonal/block_diagonal_simd.h"

namespace nfcompile {

const BlockDiagonalKernel block_diagonal_f32_avx512_emulated = {
    .name = "block_diagonal_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .width = avx512_emulated::kWidth,
    .strip_vectors = avx512_emulated::kPanelVectors,
    .matrix = avx512_emulated::BlockDiagonalTimesMatrix,
};

}  // namespace nfcompile
