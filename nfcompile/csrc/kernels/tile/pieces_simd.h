// Which pixels of images a vector of a tile holds: see images.h for the equation.
#ifndef NFCOMPILE_KERNELS_TILE_PIECES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_PIECES_SIMD_H_

#include "base/partition.h"
#include "kernels/simd.h"
#include "kernels/tile/images.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// What one vector of a tile's row holds of one line of pixels: lane l is the pixel `from` plus
// l strides of its channel, for the lanes that lie inside the image.
struct Piece {
  int64_t from;
  uint64_t pixels;  // a bit each; with strides over 2, of lanes
};

// The pieces of a row, vector by vector; at most one per lane.
template <int kVectors>
struct Pieces {
  int first[kVectors + 1];
  Piece piece[kVectors * kWidth];
};

// As assembly: GCC 12 drops calls of functions that do nothing but prefetch.
NFCOMPILE_INLINE void PrefetchFloats(const float* p) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*p));
#endif
}

NFCOMPILE_INLINE int64_t Lesser(int64_t a, int64_t b) { return a < b ? a : b; }

NFCOMPILE_INLINE int64_t Clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// The least m >= 0 with m * stride >= distance. kStride: 1, 2, or 0 for any.
template <int kStride>
NFCOMPILE_INLINE int64_t StepsTo(int64_t distance, int64_t stride) {
  if (distance <= 0) return 0;
  if constexpr (kStride > 0) return (distance + kStride - 1) / kStride;
  return (distance + stride - 1) / stride;
}

// Bits begin, begin + kStep ... below end < 64. kStep: 1 or 2.
template <int kStep>
NFCOMPILE_INLINE uint64_t Bits(int64_t begin, int64_t end) {
  const uint64_t bits = (uint64_t{1} << end) - (uint64_t{1} << begin);
  if constexpr (kStep == 1) return bits;
  return bits & uint64_t{0x5555555555555555} << (begin & 1);
}

// The pieces of the row for tap (i, j): the places of each line of the window in turn.
template <int kStride, int kVectors>
inline void FindPieces(const Images& images, int64_t i, int64_t j, Range places, int vectors,
                       Pieces<kVectors>& found) {
  const WindowAxis& rows = images.rows;
  const WindowAxis& columns = images.columns;
  PlaceWalk at(images, places.begin);
  int64_t place = places.begin;
  int count = 0;
  for (int v = 0; v < vectors; ++v) {
    found.first[v] = count;
    for (int64_t lane = 0; lane < kWidth && place < places.end;) {
      // Neighbouring places in this line and vector.
      const int64_t run = at.Run(Lesser(kWidth - lane, places.end - place));
      const int64_t row = at.row() * rows.stride + i * rows.dilation - rows.pad;
      const int64_t column = at.column() * columns.stride + j * columns.dilation - columns.pad;
      const int64_t begin = Clamp(StepsTo<kStride>(-column, columns.stride), 0, run);
      const int64_t end =
          Clamp(StepsTo<kStride>(columns.size - column, columns.stride), begin, run);
      if (at.exists() && row >= 0 && row < rows.size && begin < end) {
        constexpr int kStep = kStride == 2 ? 2 : 1;
        for (int64_t k = begin; k < end;) {
          const int64_t pixel = row * columns.size + column + k * columns.stride;
          const int64_t next = k + images.Neighbours(at.image(), pixel, kWidth, end - k);
          found.piece[count++] = {
              images.Offset(at.image(), pixel, kWidth) - (lane + k) * columns.stride,
              Bits<kStep>(kStep * (lane + k), kStep * (lane + next))};
          k = next;
        }
      }
      lane += run;
      place += run;
      at.Advance(run);
    }
  }
  found.first[vectors] = count;
}

// The lanes of a piece, zero in the others, whose memory is not touched. kStride: 1, 2, or 0
// for any.
template <int kStride>
NFCOMPILE_INLINE Floats LoadPiece(const float* p, uint64_t pixels, int64_t stride) {
  if constexpr (kStride == 1) return LoadLanes(p, static_cast<uint32_t>(pixels));
  if constexpr (kStride == 2) {
    return EvenLanes(LoadLanes(p, static_cast<uint32_t>(pixels & ((1u << kWidth) - 1))),
                     LoadLanes(p + kWidth, static_cast<uint32_t>(pixels >> kWidth)));
  }
  float values[kWidth] __attribute__((aligned(64))) = {};
  for (int l = 0; l < kWidth; ++l) {
    if (pixels >> l & 1) values[l] = p[l * stride];
  }
  return Load(values);
}

// Both ends of what is loaded, and what lies between them with strides of 2.
template <int kStride>
NFCOMPILE_INLINE void PrefetchPiece(const float* channel, const Piece& piece, int64_t stride) {
  const float* p = channel + piece.from;
  const int64_t step = kStride == 0 ? stride : 1;  // from bit to bit
  const int64_t first = __builtin_ctzll(piece.pixels) * step;
  const int64_t last = (63 - __builtin_clzll(piece.pixels)) * step;
  PrefetchFloats(p + first);
  if (last > first) PrefetchFloats(p + last);
  if (kStride == 2 && last - first > kWidth) PrefetchFloats(p + kWidth);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_PIECES_SIMD_H_
