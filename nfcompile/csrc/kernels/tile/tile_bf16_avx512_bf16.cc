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

namespace nfcompile {
namespace avx512_bf16 {
namespace {

// kRows outputs for kVectors vectors of a tile of kTile batch rows, from vector `first` on.
template <int kRows, int kVectors, int64_t kTile>
NFCOMPILE_INLINE void RunStrip(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, int first, AnyNonZero& any) {
  constexpr int kWanted = 8 / (kRows * kVectors);
  constexpr int kChains = kWanted >= 4 ? 4 : kWanted >= 2 ? 2 : 1;
  Floats acc[kChains][kRows][kVectors] = {};
  const uint16_t* values = weights.values.Data(uint16_t()) + group.value;
  const int32_t* columns = weights.columns.data() + group.column;
  const auto* x = static_cast<const uint16_t*>(operands.x) + first * kWidth;
  const auto add = [&](Floats(&sums)[kRows][kVectors],
                       int32_t k) __attribute__((always_inline)) {
    __m512i pairs[kVectors];
    LoadPairs<kVectors>(x + columns[k] * kTile, x + columns[k + 1] * kTile, pairs);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i w = SplatPair(values + k * kRows + 2 * r);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = AddPairs(sums[r][v], pairs[v], w);
      }
    }
  };
  int32_t k = 0;
  for (; k + 2 * kChains <= group.count; k += 2 * kChains) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) add(acc[c], k + 2 * c);
  }
  for (; k < group.count; k += 2) add(acc[0], k);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 1; c < kChains; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[0][r][v] += acc[c][r][v];
    }
    FinishPairs<kVectors>(operands, group.row[r], first, acc[0][r], any);
  }
}

template <int kRows, int kVectors>
NFCOMPILE_INLINE void RunGroup(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, AnyNonZero& any) {
  // As many vectors at a time as the registers hold sums for.
  constexpr int kStrip = kRows * kVectors > 16 ? 16 / kRows : kVectors;
#pragma GCC unroll 2
  for (int first = 0; first < kVectors; first += kStrip) {
    RunStrip<kRows, kStrip, kVectors * kWidth>(weights, operands, group, first, any);
  }
}

template <int kVectors>
bool RunGroups(const TileWeights& weights, const TileOperands& operands, Range groups) {
  AnyNonZero any;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const TileGroup& group = weights.groups.data()[g];
    if (group.rows == 8) {
      RunGroup<8, kVectors>(weights, operands, group, any);
    } else if (group.rows == 4) {
      RunGroup<4, kVectors>(weights, operands, group, any);
    } else if (group.rows == 2) {
      RunGroup<2, kVectors>(weights, operands, group, any);
    } else {
      RunGroup<1, kVectors>(weights, operands, group, any);
    }
  }
  return any.Found();
}

bool RunTile(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int vectors = operands.x_shape.vectors;
  if (vectors == 1) return RunGroups<1>(weights, operands, groups);
  if (vectors == 2) return RunGroups<2>(weights, operands, groups);
  return RunGroups<4>(weights, operands, groups);
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
