// tile_bf16_avx512_emulated: 16 batch rows in a vector.
#define NFCOMPILE_ISA avx512_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_simd.h"

namespace nfcompile {

const TileKernel tile_bf16_avx512_emulated = {
    .name = "tile_bf16_avx512_emulated",
    .isa = Isa::kAvx512Emulated,
    .precision = Precision::kBfloat16,
    .width = avx512_emulated::kWidth,
    .group_vectors = 4,
    .run = avx512_emulated::RunTile<avx512_emulated::WidenedProduct>,
    .run_rows = nullptr,
    .run_generated = nullptr,
    .pack = avx512_emulated::PackTile<uint16_t>,
    .pack_float = avx512_emulated::PackTile<float>,
    .unpack = avx512_emulated::UnpackTile<uint16_t>,
    .unpack_float = avx512_emulated::UnpackTile<float>,
    .gather = avx512_emulated::GatherTile<uint16_t>,
    .gather_float = avx512_emulated::GatherTile<float>,
    .normalize = avx512_emulated::NormalizeTile<uint16_t>,
    .scatter = avx512_emulated::ScatterTile,
};

}  // namespace nfcompile
