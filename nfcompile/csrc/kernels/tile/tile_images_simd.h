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
  int first[kMaxPlaneVectors + 1];
  Piece piece[kMaxPlaneVectors * kWidth];
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

NFCOMPILE_INLINE int64_t Lesser(int64_t a, int64_t b) { return a < b ? a : b; }

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
      const int64_t begin = Clamp(StepsTo(-column, columns.stride), 0, run);
      const int64_t end = Clamp(StepsTo(columns.size - column, columns.stride), begin, run);
      if (at.exists() && row >= 0 && row < rows.size && begin < end) {
        const int64_t step = columns.stride == 2 ? 2 : 1;
        for (int64_t k = begin; k < end;) {
          const int64_t pixel = row * columns.size + column + k * columns.stride;
          const int64_t next = k + images.Neighbours(at.image(), pixel, kWidth, end - k);
          found.piece[count++] = {
              images.Offset(at.image(), pixel, kWidth) - (lane + k) * columns.stride,
              Bits(step * (lane + k), step * (lane + next), step)};
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

template <typename Element, int kStride>
bool GatherTaps(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, Element* tile) {
  const int64_t taps = images.taps();
  const int64_t first_channel = features.begin / taps;
  const int64_t last_channel = (features.end - 1) / taps;
  const int64_t distance = images.ChannelDistance(kWidth);
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
      const float* channel = x + c * distance;
      // A tile reads too little of a channel for the processor to foresee the next one.
      const float* ahead = channel + (end - begin > 1 ? 1 : kChannelsAhead) * distance;
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

// Neighbouring places of a vector and of one image.
struct Run {
  int64_t from;  // in a row of the tile
  int64_t to;    // in the first channel of the images
  int lanes;
};

// The reverse for windows of one pixel, from a tile of float.
void ScatterTile(const float* tile, const TileShape& shape, const Images& images, Range places,
                 Range features, float* y) {
  Run runs[kMaxTileVectors * kWidth];
  const int64_t distance = images.ChannelDistance(kWidth);
  int count = 0;
  PlaceWalk at(images, places.begin);
  for (int64_t t = 0; t < places.size();) {
    const int64_t pixel = at.row() * images.columns.out + at.column();
    const int64_t left = at.Run(Lesser(kWidth - t % kWidth, places.size() - t));
    const auto lanes =
        static_cast<int>(images.Neighbours(at.image(), pixel, kWidth, left));
    if (at.exists()) {
      runs[count++] = {t / kWidth * shape.vector + t % kWidth,
                       images.Offset(at.image(), pixel, kWidth), lanes};
    }
    t += lanes;
    at.Advance(lanes);
  }
  for (int64_t f = features.begin; f < features.end; ++f) {
    for (int i = 0; i < count; ++i) {
      const Run& run = runs[i];
      // What lies behind a vector is memory of the tile.
      const Floats value = Load(tile + f * shape.row + run.from);
      float* to = y + f * distance + run.to;
      if (run.lanes == kWidth) {
        Store(to, value);
      } else {
        StorePart(to, value, run.lanes);
      }
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
