// tile_bf16_avx512: 16 batch rows in a vector.
#define NFCOMPILE_ISA avx512
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_bf16_avx512 = {
    .name = "tile_bf16_avx512",
    .isa = Isa::kAvx512,
    .precision = Precision::kBfloat16,
    .width = avx512::kWidth,
    .group_vectors = 4,
    .run = avx512::RunTile<avx512::WidenedProduct>,
    .run_rows = nullptr,
    .run_generated = nullptr,
    .pack = avx512::PackTile<uint16_t>,
    .pack_float = avx512::PackTile<float>,
    .unpack = avx512::UnpackTile<uint16_t>,
    .unpack_float = avx512::UnpackTile<float>,
    .gather = avx512::GatherTile<uint16_t>,
    .gather_float = avx512::GatherTile<float>,
    .normalize = avx512::NormalizeTile<uint16_t>,
    .scatter = avx512::ScatterTile,
};

}  // namespace nfcompile
