// tile_f32_scalar: the equation of tile.h as it stands.
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_rows_scalar.h"
#include "kernels/tile/tile_scalar.h"

namespace nfcompile {

const TileKernel tile_f32_scalar = {
    .name = "tile_f32_scalar",
    .isa = Isa::kScalar,
    .precision = Precision::kFloat32,
    .width = kScalarTile,
    .group_vectors = 4,
    .run = ScalarRun<float>,
    .run_rows = ScalarRunRows<float>,
    .run_generated = nullptr,
    .pack = ScalarPack<float>,
    .pack_float = ScalarPack<float>,
    .unpack = ScalarUnpack<float>,
    .unpack_float = ScalarUnpack<float>,
    .gather = ScalarGather<float>,
    .gather_float = ScalarGather<float>,
    .normalize = ScalarNormalize<float>,
    .scatter = ScalarScatter,
};

}  // namespace nfcompile
