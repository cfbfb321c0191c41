// Products of tiles in the registers of AMX: see amx_blocks.h.
#ifndef NFCOMPILE_KERNELS_AMX_AMX_SIMD_H_
#define NFCOMPILE_KERNELS_AMX_AMX_SIMD_H_

#include "kernels/amx/amx_blocks.h"
#include "kernels/amx/amx_registers.h"
#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kAmxSums = 4;
constexpr int64_t kPairBytes = 2 * sizeof(uint16_t);
constexpr int64_t kPairRow = kAmxRows * kPairBytes;

// to[t] = a[t], b[t] for 16 batch rows.
NFCOMPILE_INLINE void Interleave(const uint16_t* a, const uint16_t* b, uint16_t* to) {
#if defined(__AVX512BW__)
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
  const __m512i even = _mm512_cvtepu16_epi32(low);
  const __m512i odd = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
  _mm512_storeu_si512(to, _mm512_or_si512(even, odd));
#else
  for (int t = 0; t < kAmxRows; ++t) {
    to[2 * t] = a[t];
    to[2 * t + 1] = b[t];
  }
#endif
}

// What a register takes of x for chunk c and vector v: [c][v][columns / 2][16][2].
struct Pairs {
  uint16_t* data;
  int64_t chunk;  // elements from one to the next
  int64_t vector;
  int64_t first;  // the chunk that data begins with

  const uint16_t* At(int64_t c, int v) const { return data + (c - first) * chunk + v * vector; }
};

Pairs PairUp(const AmxBlocks& blocks, const TileOperands& operands, Range chunks) {
  const TileShape& shape = operands.x_shape;
  const auto* x = static_cast<const uint16_t*>(operands.x);
  const int64_t vector = blocks.columns * kAmxRows;
  const int64_t chunk = vector * shape.vectors;
  const int64_t bytes = chunks.size() * chunk * sizeof(uint16_t);
  auto* data = reinterpret_cast<uint16_t*>(ThreadWorkspace(bytes / sizeof(float)));
  uint16_t* to = data;
  for (int64_t c = chunks.begin; c < chunks.end; ++c) {
    const int32_t* source = blocks.sources.data() + c * blocks.columns;
    for (int v = 0; v < shape.vectors; ++v) {
      const uint16_t* from = x + v * shape.vector;
      for (int k = 0; k < blocks.columns; k += 2, to += 2 * kAmxRows) {
        Interleave(from + source[k] * shape.row, from + source[k + 1] * shape.row, to);
      }
    }
  }
  return {data, chunk, vector, chunks.begin};
}

// sums[tile * kVectors + v] = the products of a group for kVectors vectors from `first` on.
template <int kTiles, int kVectors>
NFCOMPILE_INLINE void MultiplyGroup(const AmxBlocks& blocks, const AmxGroup& group,
                                    const Pairs& pairs, int first,
                                    float (&sums)[kAmxSums][kAmxRows * kAmxRows]) {
  const int64_t row = 2 * blocks.columns;  // bytes
  const uint16_t* w = blocks.values.data() + group.value;
  const int32_t* chunks = blocks.chunks.data() + group.chunk;
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  for (int32_t i = 0; i < group.chunks; ++i) {
    TILE_LOAD(4, w, row);
    w += kAmxRows * blocks.columns;
    if constexpr (kTiles == 2) {
      TILE_LOAD(5, w, row);
      w += kAmxRows * blocks.columns;
    }
    TILE_LOAD(6, pairs.At(chunks[i], first), kPairRow);
    TILE_DOT(0, 4, 6);
    if constexpr (kTiles == 2) TILE_DOT(2, 5, 6);
    if constexpr (kVectors >= 2) {
      TILE_LOAD(7, pairs.At(chunks[i], first + 1), kPairRow);
      TILE_DOT(1, 4, 7);
      if constexpr (kTiles == 2) TILE_DOT(3, 5, 7);
    }
    if constexpr (kVectors == 4) {
      TILE_LOAD(6, pairs.At(chunks[i], first + 2), kPairRow);
      TILE_DOT(2, 4, 6);
      TILE_LOAD(7, pairs.At(chunks[i], first + 3), kPairRow);
      TILE_DOT(3, 4, 7);
    }
  }
  TILE_STORE(0, sums[0], kAmxRows * sizeof(float));
  TILE_STORE(1, sums[1], kAmxRows * sizeof(float));
  TILE_STORE(2, sums[2], kAmxRows * sizeof(float));
  TILE_STORE(3, sums[3], kAmxRows * sizeof(float));
}

template <int kTiles, int kVectors>
NFCOMPILE_INLINE void RunAmxGroup(const AmxBlocks& blocks, const AmxGroup& group,
                                  const Pairs& pairs,
                                  const TileEpilogue<LanesInOrder<uint16_t>>& epilogue,
                                  int first, AnyNonZero& any) {
  static_assert(kTiles * kVectors <= kAmxSums);
  constexpr int kRow = kAmxSums / 2;  // where the sums of the second tile begin
  alignas(64) float sums[kAmxSums][kAmxRows * kAmxRows];
  MultiplyGroup<kTiles, kVectors>(blocks, group, pairs, first, sums);
  for (int r = 0; r < kTiles * kAmxRows; ++r) {
    if (group.row[r] < 0) continue;
    Floats total[1][kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      total[0][v] = Load(sums[r / kAmxRows * kRow + v] + r % kAmxRows * kAmxRows);
    }
    epilogue.template Rows<1, kVectors>(group.row + r, first, total, any);
  }
}

bool RunGroups(const AmxBlocks& blocks, const TileOperands& operands, Range units) {
  const Pairs pairs = PairUp(blocks, operands, blocks.Reads(units));
  const RegisterShapes shapes = ShapesFor(blocks.columns);
  TILE_SHAPE(shapes);
  const TileEpilogue<LanesInOrder<uint16_t>> epilogue(operands);
  AnyNonZero any;
  for (int64_t u = units.begin; u < units.end; ++u) {
    const AmxGroup& group = blocks.groups[u];
    const int vectors = operands.x_shape.vectors;
    int v = 0;
    if (group.tiles == 2) {
      for (; v + 2 <= vectors; v += 2) {
        RunAmxGroup<2, 2>(blocks, group, pairs, epilogue, v, any);
      }
      if (v < vectors) RunAmxGroup<2, 1>(blocks, group, pairs, epilogue, v, any);
      continue;
    }
    for (; v + 4 <= vectors; v += 4) {
      RunAmxGroup<1, 4>(blocks, group, pairs, epilogue, v, any);
    }
    if (v + 2 <= vectors) {
      RunAmxGroup<1, 2>(blocks, group, pairs, epilogue, v, any);
      v += 2;
    }
    if (v < vectors) RunAmxGroup<1, 1>(blocks, group, pairs, epilogue, v, any);
  }
  TILE_RELEASE();
  return any.Found();
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_AMX_AMX_SIMD_H_
