// Between images and feature-major tiles: see images.h for the equation.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/images.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// One vector of a tile's row: batch rows `to` and on. Lanes begin .. end are pixels `from` and
// on of a channel (of which lane 0 would be the first); the others lie outside the image.
struct Piece {
  int64_t from;
  int32_t to;
  int32_t begin;
  int32_t end;
};

// A tile has at most one piece per batch row, and as many again to fill its end.
constexpr int kMostPieces = 2 * kMaxTileVectors * kWidth;

NFCOMPILE_INLINE int64_t Clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// The least m >= 0 with m * stride >= distance.
NFCOMPILE_INLINE int64_t StepsTo(int64_t distance, int64_t stride) {
  return distance <= 0 ? 0 : (distance + stride - 1) / stride;
}

// The pieces of the row for tap (i, j): the places of each line of the window in turn.
inline int FindPieces(const Images& images, int64_t i, int64_t j, Range places, int tile,
                      Piece* pieces) {
  const WindowAxis& rows = images.rows;
  const WindowAxis& columns = images.columns;
  int count = 0;
  int64_t place = places.begin;
  int64_t q = place % columns.out;
  int64_t p = place / columns.out % rows.out;
  int64_t image = place / columns.out / rows.out;
  while (place < places.end) {
    const int64_t left = columns.out - q;
    const int64_t run = left < places.end - place ? left : places.end - place;
    const int64_t row = p * rows.stride + i * rows.dilation - rows.pad;
    const int64_t column = q * columns.stride + j * columns.dilation - columns.pad;
    const bool inside = row >= 0 && row < rows.size;
    const int64_t first = inside ? StepsTo(-column, columns.stride) : run;
    const int64_t last = inside ? StepsTo(columns.size - column, columns.stride) : 0;
    const int64_t from = image * images.channels * images.pixels() + row * columns.size + column;
    for (int64_t at = 0; at < run; at += kWidth) {
      const int64_t lanes = run - at < kWidth ? run - at : kWidth;
      Piece& piece = pieces[count++];
      piece.from = from + at * columns.stride;
      piece.to = static_cast<int32_t>(place - places.begin + at);
      piece.begin = static_cast<int32_t>(Clamp(first - at, 0, lanes));
      piece.end = static_cast<int32_t>(Clamp(last - at, piece.begin, lanes));
    }
    place += run;
    q = 0;
    if (++p == rows.out) {
      p = 0;
      ++image;
    }
  }
  for (int64_t at = places.size(); at < tile; at += kWidth) {
    pieces[count++] = {0, static_cast<int32_t>(at), 0, 0};
  }
  return count;
}

// Lanes begin .. end from p, `stride` apart; zero in the others, whose memory is not touched.
NFCOMPILE_INLINE Floats LoadLanes(const float* p, int64_t stride, int begin, int end) {
  if (stride == 1) return LoadBetween(p, begin, end);
  if (stride == 2 && begin < end) {
    // The last element of an odd number of lanes ends what may be read.
    const int last = 2 * end - 1;
    const Floats low = LoadBetween(p, 2 * begin < kWidth ? 2 * begin : kWidth,
                                   last < kWidth ? last : kWidth);
    const Floats high = LoadBetween(p + kWidth, 2 * begin > kWidth ? 2 * begin - kWidth : 0,
                                    last > kWidth ? last - kWidth : 0);
    return EvenLanes(low, high);
  }
  float lanes[kWidth] __attribute__((aligned(64))) = {};
  for (int l = begin; l < end; ++l) lanes[l] = p[l * stride];
  return Load(lanes);
}

template <typename Element>
NFCOMPILE_INLINE void StoreLanes(Element* p, Floats value, int64_t room) {
  // What reaches beyond a piece is written over by the next one.
  if (room >= kWidth) return StoreElements(p, value);
  Element lanes[kWidth];
  StoreElements(lanes, value);
  for (int64_t l = 0; l < room; ++l) p[l] = lanes[l];
}

template <typename Element>
bool GatherTile(const float* x, const Images& images, Range places, Range features, int vectors,
                void* tile) {
  const int64_t size = int64_t{vectors} * kWidth;
  const int64_t taps = images.taps();
  const int64_t pixels = images.pixels();
  const int64_t stride = images.columns.stride;
  AnyNonZero any;
  for (int64_t tap = 0; tap < taps; ++tap) {
    Piece pieces[kMostPieces];
    const int count = FindPieces(images, tap / images.columns.kernel,
                                 tap % images.columns.kernel, places, static_cast<int>(size),
                                 pieces);
    const int64_t end = StepsTo(features.end - tap, taps);
    for (int64_t c = StepsTo(features.begin - tap, taps); c < end; ++c) {
      const float* from = x + c * pixels;
      Element* to = static_cast<Element*>(tile) + (c * taps + tap) * size;
      for (int k = 0; k < count; ++k) {
        const Piece& piece = pieces[k];
        const Floats value = LoadLanes(from + piece.from, stride, piece.begin, piece.end);
        any.Add(value);
        StoreLanes(to + piece.to, value, size - piece.to);
      }
    }
  }
  return any.Found();
}

// The reverse for windows of one pixel, from a tile of float.
void ScatterTile(const float* tile, int64_t channels, int64_t image_places, Range places,
                 Range features, int vectors, float* y) {
  const int64_t size = int64_t{vectors} * kWidth;
  for (int64_t place = places.begin; place < places.end;) {
    const int64_t image = place / image_places;
    const int64_t end = (image + 1) * image_places;
    const int64_t run = (end < places.end ? end : places.end) - place;
    const float* from = tile + (place - places.begin);
    float* to = y + image * channels * image_places + place % image_places;
    for (int64_t f = features.begin; f < features.end; ++f) {
      const float* row = from + f * size;
      float* line = to + f * image_places;
      int64_t t = 0;
      for (; t + kWidth <= run; t += kWidth) Store(line + t, Load(row + t));
      if (t < run) StorePart(line + t, Load(row + t), static_cast<int>(run - t));
    }
    place += run;
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
