// The table of tile kernels.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_KERNELS_H_
#define NFCOMPILE_KERNELS_TILE_TILE_KERNELS_H_

#include "kernels/tile/tile.h"

namespace nfcompile {

extern const TileKernel tile_f32_scalar;
extern const TileKernel tile_bf16_scalar;
#if defined(__x86_64__)
extern const TileKernel tile_f32_avx2;
extern const TileKernel tile_f32_avx512;
extern const TileKernel tile_f32_avx512_emulated;
extern const TileKernel tile_bf16_avx2;
extern const TileKernel tile_bf16_avx512;
extern const TileKernel tile_bf16_avx512_emulated;
extern const TileKernel tile_bf16_avx512_bf16;
#endif

constexpr const TileKernel* kTileKernels[] = {
#if defined(__x86_64__)
    &tile_bf16_avx512_bf16,
    &tile_f32_avx512,
    &tile_bf16_avx512,
    &tile_f32_avx2,
    &tile_bf16_avx2,
    &tile_f32_avx512_emulated,
    &tile_bf16_avx512_emulated,
#endif
    &tile_f32_scalar,
    &tile_bf16_scalar,
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_KERNELS_H_
