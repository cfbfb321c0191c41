// Between images and feature-major tiles: see images.h for the equation.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/images.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// What one vector of a tile's row holds of one line of pixels: lane l is the pixel `from` plus
// l strides of its channel, for the lanes that lie inside the image.
struct Piece {
  int64_t from;
  uint64_t pixels;  // a bit each; with strides over 2, of lanes
};

// The pieces of a row, vector by vector; at most one per lane.
struct Pieces {
  int first[kMaxTileVectors + 1];
  Piece piece[kMaxTileVectors * kWidth];
};

// Taps whose pieces are found at once.
constexpr int64_t kTaps = 9;
// With one tap, how far ahead channels are asked for.
constexpr int64_t kChannelsAhead = 4;

// As assembly: GCC 12 drops calls of functions that do nothing but prefetch.
NFCOMPILE_INLINE void PrefetchFloats(const float* p) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*p));
#endif
}

NFCOMPILE_INLINE int64_t Clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// The least m >= 0 with m * stride >= distance.
NFCOMPILE_INLINE int64_t StepsTo(int64_t distance, int64_t stride) {
  return distance <= 0 ? 0 : (distance + stride - 1) / stride;
}

// Bits begin, begin + step ... below end.
NFCOMPILE_INLINE uint64_t Bits(int64_t begin, int64_t end, int64_t step) {
  uint64_t bits = 0;
  for (int64_t bit = begin; bit < end; bit += step) bits |= uint64_t{1} << bit;
  return bits;
}

// The pieces of the row for tap (i, j): the places of each line of the window in turn.
inline void FindPieces(const Images& images, int64_t i, int64_t j, Range places, int vectors,
                       Pieces& found) {
  const WindowAxis& rows = images.rows;
  const WindowAxis& columns = images.columns;
  int64_t place = places.begin;
  int64_t q = place % columns.out;
  int64_t p = place / columns.out % rows.out;
  int64_t image = place / columns.out / rows.out;
  int count = 0;
  for (int v = 0; v < vectors; ++v) {
    found.first[v] = count;
    for (int64_t lane = 0; lane < kWidth && place < places.end;) {
      int64_t run = columns.out - q;  // neighbouring places in this line and vector
      if (run > kWidth - lane) run = kWidth - lane;
      if (run > places.end - place) run = places.end - place;
      const int64_t row = p * rows.stride + i * rows.dilation - rows.pad;
      const int64_t column = q * columns.stride + j * columns.dilation - columns.pad;
      const int64_t begin = Clamp(StepsTo(-column, columns.stride), 0, run);
      const int64_t end = Clamp(StepsTo(columns.size - column, columns.stride), begin, run);
      if (row >= 0 && row < rows.size && begin < end) {
        const int64_t line = image * images.channels * images.pixels() + row * columns.size;
        const int64_t step = columns.stride == 2 ? 2 : 1;
        found.piece[count++] = {line + column - lane * columns.stride,
                                Bits(step * (lane + begin), step * (lane + end), step)};
      }
      lane += run;
      place += run;
      q += run;
      if (q < columns.out) continue;
      q = 0;
      if (++p < rows.out) continue;
      p = 0;
      ++image;
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

template <typename Element, int kStride>
bool GatherTaps(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, Element* tile) {
  const int64_t taps = images.taps();
  const int64_t first_channel = features.begin / taps;
  const int64_t last_channel = (features.end - 1) / taps;
  AnyNonZero any;
  for (int64_t begin = 0; begin < taps; begin += kTaps) {
    const int64_t end = begin + kTaps < taps ? begin + kTaps : taps;
    Pieces pieces[kTaps];
    for (int64_t tap = begin; tap < end; ++tap) {
      FindPieces(images, tap / images.columns.kernel, tap % images.columns.kernel, places,
                 shape.vectors, pieces[tap - begin]);
    }
    const Pieces& middle = pieces[(end - begin) / 2];
    for (int64_t c = first_channel; c <= last_channel; ++c) {
      const float* channel = x + c * images.pixels();
      // A tile reads too little of a channel for the processor to foresee the next one.
      const float* ahead = channel + (end - begin > 1 ? 1 : kChannelsAhead) * images.pixels();
      for (int v = 0; v < shape.vectors; ++v) {
        if (middle.first[v] < middle.first[v + 1]) {
          PrefetchFloats(ahead + middle.piece[middle.first[v]].from);
        }
      }
      for (int64_t tap = begin; tap < end; ++tap) {
        const int64_t feature = c * taps + tap;
        if (feature < features.begin || feature >= features.end) continue;
        const Pieces& from = pieces[tap - begin];
        Element* to = tile + feature * shape.row;
        for (int v = 0; v < shape.vectors; ++v) {
          Floats value = {};
          for (int k = from.first[v]; k < from.first[v + 1]; ++k) {
            const Piece& piece = from.piece[k];
            const Floats part =
                LoadPiece<kStride>(channel + piece.from, piece.pixels, images.columns.stride);
            value = FromBits(ToBits(value) | ToBits(part));
          }
          any.Add(value);
          StoreElements(to + v * shape.vector, value);
        }
      }
    }
  }
  return any.Found();
}

template <typename Element>
bool GatherTile(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, void* tile) {
  if (features.size() <= 0) return false;
  auto* to = static_cast<Element*>(tile);
  switch (images.columns.stride) {
    case 1:
      return GatherTaps<Element, 1>(x, images, places, features, shape, to);
    case 2:
      return GatherTaps<Element, 2>(x, images, places, features, shape, to);
    default:
      return GatherTaps<Element, 0>(x, images, places, features, shape, to);
  }
}

// The reverse for windows of one pixel, from a tile of float.
void ScatterTile(const float* tile, const TileShape& shape, int64_t channels,
                 int64_t image_places, Range places, Range features, float* y) {
  for (int64_t place = places.begin; place < places.end;) {
    const int64_t t = place - places.begin;
    const int64_t image = place / image_places;
    const int64_t ends = (image + 1) * image_places;
    const int64_t left = (ends < places.end ? ends : places.end) - place;
    const int64_t room = kWidth - t % kWidth;
    const auto lanes = static_cast<int>(left < room ? left : room);
    const float* from = tile + t / kWidth * shape.vector + t % kWidth;
    float* to = y + image * channels * image_places + place % image_places;
    for (int64_t f = features.begin; f < features.end; ++f) {
      // What lies behind a vector is memory of the tile.
      const Floats value = Load(from + f * shape.row);
      if (lanes == kWidth) {
        Store(to + f * image_places, value);
      } else {
        StorePart(to + f * image_places, value, lanes);
      }
    }
    place += lanes;
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
