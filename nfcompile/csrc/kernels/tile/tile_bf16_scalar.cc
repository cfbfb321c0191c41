// tile_bf16_scalar: the equation of tile.h as it stands.
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_rows_scalar.h"
#include "kernels/tile/tile_scalar.h"

namespace nfcompile {

const TileKernel tile_bf16_scalar = {
    .name = "tile_bf16_scalar",
    .isa = Isa::kScalar,
    .precision = Precision::kBfloat16,
    .width = kScalarTile,
    .group_vectors = 4,
    .run = ScalarRun<uint16_t>,
    .run_rows = ScalarRunRows<uint16_t>,
    .run_generated = nullptr,
    .pack = ScalarPack<uint16_t>,
    .pack_float = ScalarPack<float>,
    .unpack = ScalarUnpack<uint16_t>,
    .unpack_float = ScalarUnpack<float>,
    .gather = ScalarGather<uint16_t>,
    .gather_float = ScalarGather<float>,
    .normalize = ScalarNormalize<uint16_t>,
    .scatter = ScalarScatter,
};

}  // namespace nfcompile
