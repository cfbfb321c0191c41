// Between images and feature-major tiles: see images.h for the equation.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/images.h"
#include "kernels/tile/pieces_simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Taps whose pieces are found at once, by the most vectors there are: on the stack they take
// some 40 KB.
template <int kVectors>
constexpr int64_t kTaps = kVectors > kMaxTileVectors ? 2 : 9;
// With one tap, how far ahead channels are asked for.
constexpr int64_t kChannelsAhead = 4;

// One vector of the tile for neighbouring channels of images that lie as tiles do. kPieces: how
// many there are, or 0 for `count`.
template <typename Element, int kPieces>
NFCOMPILE_INLINE void GatherColumn(const float* x, const Piece* pieces, int count,
                                   int64_t channels, Element* to, int64_t row,
                                   AnyNonZero& any) {
  const int all = kPieces > 0 ? kPieces : count;
  for (int64_t c = 0; c < channels; ++c) {
    Floats value = {};
#pragma GCC unroll 4
    for (int k = 0; k < all; ++k) {
      const Floats part = LoadPiece<1>(x + c * kWidth + pieces[k].from, pieces[k].pixels, 1);
      value = FromBits(ToBits(value) | ToBits(part));
    }
    any.Add(value);
    StoreElements(to + c * row, value);
  }
}

// GatherTaps for images that lie as tiles do: channel after channel, since their vectors are
// neighbours, and without branches.
template <typename Element>
bool GatherTiled(const float* x, const Images& images, Range places, Range features,
                 const TileShape& shape, Element* tile) {
  const int64_t taps = images.taps();
  AnyNonZero any;
  for (int64_t tap = 0; tap < taps; ++tap) {
    Pieces<kMaxPlaneVectors> pieces;
    FindPieces<1>(images, tap / images.columns.kernel, tap % images.columns.kernel, places,
                  shape.vectors, pieces);
    const int64_t begin = (features.begin - tap + taps - 1) / taps;  // the first channel
    const int64_t channels = (features.end - tap + taps - 1) / taps - begin;
    const float* from = x + begin * kWidth;
    for (int v = 0; v < shape.vectors; ++v) {
      const Piece* piece = pieces.piece + pieces.first[v];
      const int count = pieces.first[v + 1] - pieces.first[v];
      Element* to = tile + (begin * taps + tap) * shape.row + v * shape.vector;
      const int64_t row = taps * shape.row;
      switch (count) {
        case 1:
          GatherColumn<Element, 1>(from, piece, count, channels, to, row, any);
          break;
        case 2:
          GatherColumn<Element, 2>(from, piece, count, channels, to, row, any);
          break;
        case 3:
          GatherColumn<Element, 3>(from, piece, count, channels, to, row, any);
          break;
        default:
          GatherColumn<Element, 0>(from, piece, count, channels, to, row, any);
      }
    }
  }
  return any.Found();
}

template <typename Element, int kStride, int kVectors>
bool GatherTaps(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, Element* tile) {
  const int64_t taps = images.taps();
  const int64_t first_channel = features.begin / taps;
  const int64_t last_channel = (features.end - 1) / taps;
  const int64_t distance = images.ChannelDistance(kWidth);
  AnyNonZero any;
  for (int64_t begin = 0; begin < taps; begin += kTaps<kVectors>) {
    const int64_t end = begin + kTaps<kVectors> < taps ? begin + kTaps<kVectors> : taps;
    Pieces<kVectors> pieces[kTaps<kVectors>];
    for (int64_t tap = begin; tap < end; ++tap) {
      FindPieces<kStride>(images, tap / images.columns.kernel, tap % images.columns.kernel,
                          places, shape.vectors, pieces[tap - begin]);
    }
    // Taps of a window share most of their pixels; phases of planes have none in common.
    const bool apart = end - begin <= images.columns.stride * images.rows.stride;
    const int64_t first = apart ? 0 : (end - begin) / 2;
    const int64_t last = apart ? end - begin : first + 1;
    for (int64_t c = first_channel; c <= last_channel; ++c) {
      const float* channel = x + c * distance;
      // A tile reads too little of a channel for the processor to foresee the next one.
      const float* ahead = channel + (end - begin > 1 ? 1 : kChannelsAhead) * distance;
      for (int64_t tap = first; tap < last; ++tap) {
        const Pieces<kVectors>& from = pieces[tap];
        for (int k = 0; k < from.first[shape.vectors]; ++k) {
          PrefetchPiece<kStride>(ahead, from.piece[k], images.columns.stride);
        }
      }
      for (int64_t tap = begin; tap < end; ++tap) {
        const int64_t feature = c * taps + tap;
        if (feature < features.begin || feature >= features.end) continue;
        const Pieces<kVectors>& from = pieces[tap - begin];
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

template <typename Element, int kVectors>
bool GatherImages(const float* x, const Images& images, Range places, Range features,
                  const TileShape& shape, Element* to) {
  switch (images.columns.stride) {
    case 1:
      return GatherTaps<Element, 1, kVectors>(x, images, places, features, shape, to);
    case 2:
      return GatherTaps<Element, 2, kVectors>(x, images, places, features, shape, to);
    default:
      return GatherTaps<Element, 0, kVectors>(x, images, places, features, shape, to);
  }
}

template <typename Element>
bool GatherTile(const float* x, const Images& images, Range places, Range features,
                const TileShape& shape, void* tile) {
  if (features.size() <= 0) return false;
  auto* to = static_cast<Element*>(tile);
  if (images.tiled) return GatherTiled<Element>(x, images, places, features, shape, to);
  if (shape.vectors > kMaxTileVectors) {
    return GatherImages<Element, kMaxPlaneVectors>(x, images, places, features, shape, to);
  }
  return GatherImages<Element, kMaxTileVectors>(x, images, places, features, shape, to);
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
    const auto lanes = static_cast<int>(images.Neighbours(at.image(), pixel, kWidth, left));
    if (at.exists()) {
      runs[count++] = {t / kWidth * shape.vector + t % kWidth,
                       images.Offset(at.image(), pixel, kWidth), lanes};
    }
    t += lanes;
    at.Advance(lanes);
  }
  // What is written together lies together.
  const int runs_at_once = images.tiled ? 1 : count;
  for (int i = 0; i < count; i += runs_at_once) {
    for (int64_t f = features.begin; f < features.end; ++f) {
      for (const Run* run = runs + i; run != runs + i + runs_at_once; ++run) {
        // What lies behind a vector is memory of the tile.
        const Floats value = Load(tile + f * shape.row + run->from);
        float* to = y + f * distance + run->to;
        if (run->lanes == kWidth) {
          Store(to, value);
        } else {
          StorePart(to, value, run->lanes);
        }
      }
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_IMAGES_SIMD_H_
