// tile_f32_avx512: 16 batch rows in a vector.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_generated_simd.h"
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_rows_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_f32_avx512 = {
    .name = "tile_f32_avx512",
    .isa = Isa::kAvx512,
    .precision = Precision::kFloat32,
    .width = avx512::kWidth,
    .group_vectors = 4,
    .run = avx512::RunTile<avx512::FloatProduct>,
    .run_rows = avx512::RunRows,
    .run_generated = avx512::RunGenerated,
    .pack = avx512::PackTile<float>,
    .pack_float = avx512::PackTile<float>,
    .unpack = avx512::UnpackTile<float>,
    .unpack_float = avx512::UnpackTile<float>,
    .gather = avx512::GatherTile<float>,
    .gather_float = avx512::GatherTile<float>,
    .normalize = avx512::NormalizeTile<float>,
    .scatter = avx512::ScatterTile,
};

}  // namespace nfcompile
