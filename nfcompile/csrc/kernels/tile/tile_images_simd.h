// Between images and feature-major tiles: see images.h for the equation.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/images.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// A part of one vector of a tile's row, from element `to` on, with room for `room` lanes. Lanes
// begin .. end are pixels `from` and on of a channel (of which lane 0 would be the first); the
// others lie outside the image.
struct Piece {
  int64_t from;
  int64_t to;
  int32_t room;
  int32_t begin;
  int32_t end;
};

// A tile has at most one piece per batch row, and one per vector to fill its end.
constexpr int kMostPieces = kMaxTileVectors * (kWidth + 1);

NFCOMPILE_INLINE int64_t Clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// The least m >= 0 with m * stride >= distance.
NFCOMPILE_INLINE int64_t StepsTo(int64_t distance, int64_t stride) {
  return distance <= 0 ? 0 : (distance + stride - 1) / stride;
}

// The pieces of the row for tap (i, j): the places of each line of the window in turn.
inline int FindPieces(const Images& images, int64_t i, int64_t j, Range places,
                      const TileShape& shape, Piece* pieces) {
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
    for (int64_t at = 0; at < run;) {
      const int64_t t = place - places.begin + at;
      const auto room = static_cast<int32_t>(kWidth - t % kWidth);
      const int64_t lanes = run - at < room ? run - at : room;
      Piece& piece = pieces[count++];
      piece.from = from + at * columns.stride;
      piece.to = t / kWidth * shape.vector + t % kWidth;
      piece.room = room;
      piece.begin = static_cast<int32_t>(Clamp(first - at, 0, lanes));
      piece.end = static_cast<int32_t>(Clamp(last - at, piece.begin, lanes));
      at += lanes;
    }
    place += run;
    q = 0;
    if (++p == rows.out) {
      p = 0;
      ++image;
    }
  }
  for (int64_t t = places.size(); t < shape.vectors * kWidth; t += kWidth - t % kWidth) {
    const auto room = static_cast<int32_t>(kWidth - t % kWidth);
    pieces[count++] = {0, t / kWidth * shape.vector + t % kWidth, room, 0, 0};
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
NFCOMPILE_INLINE void StoreLanes(Element* p, Floats value, int room) {
  // What reaches beyond a piece is written over by the next one of its vector.
  if (room == kWidth) return StoreElements(p, value);
  if constexpr (sizeof(Element) == sizeof(float)) {
    StorePart(p, value, room);
  } else {
    Element lanes[kWidth];
    StoreElements(lanes, value);
    for (int l = 0; l < room; ++l) p[l] = lanes[l];
  }
}

template <typename Element>
bool GatherTile(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, void* tile) {
  const int64_t taps = images.taps();
  const int64_t pixels = images.pixels();
  const int64_t stride = images.columns.stride;
  AnyNonZero any;
  for (int64_t tap = 0; tap < taps; ++tap) {
    Piece pieces[kMostPieces];
    const int count = FindPieces(images, tap / images.columns.kernel,
                                 tap % images.columns.kernel, places, shape, pieces);
    const int64_t end = StepsTo(features.end - tap, taps);
    for (int64_t c = StepsTo(features.begin - tap, taps); c < end; ++c) {
      const float* from = x + c * pixels;
      Element* to = static_cast<Element*>(tile) + (c * taps + tap) * shape.row;
      for (int k = 0; k < count; ++k) {
        const Piece& piece = pieces[k];
        const Floats value = LoadLanes(from + piece.from, stride, piece.begin, piece.end);
        any.Add(value);
        StoreLanes(to + piece.to, value, piece.room);
      }
    }
  }
  return any.Found();
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
