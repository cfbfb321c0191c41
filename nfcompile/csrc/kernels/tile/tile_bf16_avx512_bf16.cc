// tile_bf16_avx512_bf16: pairs of columns, interleaved once for all rows of a group: see
// tile_pairs_simd.h.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_images_simd.h"
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_pack_simd.h"
#include "kernels/tile/tile_pairs_simd.h"
#include "kernels/tile/tile_row_pairs_simd.h"
#include "kernels/tile/tile_strips_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
namespace {

// Of a tile of kTile vectors.
template <int kTile>
struct PairProduct {
  using Element = uint16_t;
  using Lanes = LanesOfPairs;
  using Vector = __m512i;
  static constexpr int kColumns = 2;
  static constexpr int kVectorsPerEntry = 1;
  static constexpr bool kCostlyLoad = true;

  template <int kVectors>
  static NFCOMPILE_INLINE void LoadEntry(const uint16_t* x, const int32_t* columns,
                                         const TileShape&, __m512i (&to)[kVectors]) {
    constexpr int64_t kRow = kTile * kWidth;
    LoadPairs<kVectors>(x + columns[0] * kRow, x + columns[1] * kRow, to);
  }

  static NFCOMPILE_INLINE __m512i Weight(const uint16_t* values, int r, int) {
    return SplatPair(values + 2 * r);
  }

  static NFCOMPILE_INLINE Floats MultiplyAdd(Floats sum, __m512i x, __m512i weight) {
    return AddPairs(sum, x, weight);
  }
};

template <int kVectors>
bool RunVectors(const TileWeights& weights, const TileOperands& operands, Range groups) {
  return RunGroups<PairProduct<kVectors>, kVectors>(weights, operands, groups);
}

bool RunTile(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int vectors = operands.x_shape.vectors;
  if (vectors == 1) return RunVectors<1>(weights, operands, groups);
  if (vectors == 2) return RunVectors<2>(weights, operands, groups);
  return RunVectors<4>(weights, operands, groups);
}

}  // namespace
}  // namespace avx512_bf16

const TileKernel tile_bf16_avx512_bf16 = {
    .name = "tile_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .precision = Precision::kBfloat16,
    .width = avx512_bf16::kWidth,
    .group_vectors = 4,
    .run = avx512_bf16::RunTile,
    .run_rows = avx512_bf16::RunRowPairs,
    .run_generated = nullptr,
    .pack = avx512_bf16::PackTile<uint16_t>,
    .pack_float = avx512_bf16::PackTile<float>,
    .unpack = avx512_bf16::UnpackTile<uint16_t>,
    .unpack_float = avx512_bf16::UnpackTile<float>,
    .gather = avx512_bf16::GatherTile<uint16_t>,
    .gather_float = avx512_bf16::GatherTile<float>,
    .normalize = avx512_bf16::NormalizeTile<uint16_t>,
    .scatter = avx512_bf16::ScatterTile,
};

}  // namespace nfcompile
