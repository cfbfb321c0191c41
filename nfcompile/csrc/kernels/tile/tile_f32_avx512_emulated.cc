// tile_f32_avx512_emulated: 16 batch rows in a vector.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_rows_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_f32_avx512_emulated = {
    .name = "tile_f32_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .precision = Precision::kFloat32,
    .width = avx512_emulated::kWidth,
    .group_vectors = 4,
    .run = avx512_emulated::RunTile<avx512_emulated::FloatProduct>,
    .run_rows = avx512_emulated::RunRows,
    .run_generated = nullptr,
    .pack = avx512_emulated::PackTile<float>,
    .pack_float = avx512_emulated::PackTile<float>,
    .unpack = avx512_emulated::UnpackTile<float>,
    .unpack_float = avx512_emulated::UnpackTile<float>,
    .gather = avx512_emulated::GatherTile<float>,
    .gather_float = avx512_emulated::GatherTile<float>,
    .normalize = avx512_emulated::NormalizeTile<float>,
    .scatter = avx512_emulated::ScatterTile,
};

}  // namespace nfcompile
