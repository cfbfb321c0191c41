// tile_f32_avx2: 8 batch rows in a vector.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_rows_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_f32_avx2 = {
    .name = "tile_f32_avx2",
    .isa = Isa::kAvx2,
    .precision = Precision::kFloat32,
    .width = avx2::kWidth,
    .group_vectors = 3,
    .run = avx2::RunTile<avx2::FloatProduct>,
    .run_rows = avx2::RunRows,
    .run_generated = nullptr,
    .pack = avx2::PackTile<float>,
    .pack_float = avx2::PackTile<float>,
    .unpack = avx2::UnpackTile<float>,
    .unpack_float = avx2::UnpackTile<float>,
    .gather = avx2::GatherTile<float>,
    .gather_float = avx2::GatherTile<float>,
    .normalize = avx2::NormalizeTile<float>,
    .scatter = avx2::ScatterTile,
};

}  // namespace nfcompile
