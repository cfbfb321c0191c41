// tile_bf16_avx2: 8 batch rows in a vector.
#define NFCOMPILE_ISA avx2
#define NFCOMPILE_WIDTH 8
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_bf16_avx2 = {
    .name = "tile_bf16_avx2",
    .isa = Isa::kAvx2,
    .precision = Precision::kBfloat16,
    .width = avx2::kWidth,
    .group_vectors = 4,
    .run = avx2::RunTile<avx2::WidenedProduct>,
    .run_rows = nullptr,
    .run_generated = nullptr,
    .pack = avx2::PackTile<uint16_t>,
    .pack_float = avx2::PackTile<float>,
    .unpack = avx2::UnpackTile<uint16_t>,
    .unpack_float = avx2::UnpackTile<float>,
    .gather = avx2::GatherTile<uint16_t>,
    .gather_float = avx2::GatherTile<float>,
    .normalize = avx2::NormalizeTile<uint16_t>,
    .scatter = avx2::ScatterTile,
};

}  // namespace nfcompile
