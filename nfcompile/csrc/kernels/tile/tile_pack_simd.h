// Between row-major matrices and feature-major tiles, by transposes in registers.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_

#include <type_traits>

#include "kernels/element_simd.h"
#include "kernels/tile/tile.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Neighbouring vectors of a row that are moved at a time. Rows a multiple of 4 KiB apart that
// are read or written a line at a time compete for one set of the first-level cache: half the
// speed (Zen 5, docs/speed.md). Reads gain a little at any distance; writes only there, and
// lose else.
constexpr int kRunVectors = 8;
constexpr int kRunFeatures = kRunVectors * kWidth;
constexpr int64_t kPageFloats = 1024;

// Runs of features of kWidth rows.
struct RowBuffer {
  float row[kWidth][kRunFeatures] __attribute__((aligned(64)));
};

// body(f, count) for each run: with a constant where it is whole.
template <typename Body>
NFCOMPILE_INLINE void ForEachRun(Range features, Body body) {
  int64_t f = features.begin;
  for (; f + kRunFeatures <= features.end; f += kRunFeatures)
    body(f, std::integral_constant<int, kRunFeatures>());
  if (f < features.end) body(f, static_cast<int>(features.end - f));
}

// tile[f, t] = x[t, f] for one vector of t, of which `valid` rows exist.
template <typename Element>
NFCOMPILE_INLINE void PackStrip(const float* x, int64_t stride, int valid, Range features,
                                Element* tile, int64_t row, AnyNonZero& any) {
  RowBuffer buffer;
  for (int r = valid; r < kWidth; ++r) {
    for (int i = 0; i < kRunFeatures; i += kWidth) Store(buffer.row[r] + i, Splat(0.0f));
  }
  ForEachRun(features, [&](int64_t f, auto count) __attribute__((always_inline)) {
    for (int r = 0; r < valid; ++r) {
      const float* from = x + r * stride + f;
      for (int i = 0; i < count; i += kWidth) {
        const Floats part = count - i < kWidth ? LoadPart(from + i, count - i) : Load(from + i);
        any.Add(part);
        Store(buffer.row[r] + i, part);
      }
    }
    for (int i = 0; i < count; i += kWidth) {
      Floats rows[kWidth];
      for (int r = 0; r < kWidth; ++r) rows[r] = Load(buffer.row[r] + i);
      Transpose(rows);
      const int lanes = count - i < kWidth ? count - i : kWidth;
      for (int l = 0; l < lanes; ++l) StoreElements(tile + (f + i + l) * row, rows[l]);
    }
  });
}

template <typename Element>
bool PackTile(const float* x, int64_t stride, int64_t batch, Range features,
              const TileShape& shape, void* tile) {
  AnyNonZero any;
  for (int v = 0; v < shape.vectors; ++v) {
    const int64_t left = batch - v * kWidth;
    const int valid = left < 0 ? 0 : left < kWidth ? static_cast<int>(left) : kWidth;
    PackStrip(x + v * kWidth * stride, stride, valid, features,
              static_cast<Element*>(tile) + v * shape.vector, shape.row, any);
  }
  return any.Found();
}

template <typename Element>
void UnpackTile(const void* tile, const TileShape& shape, int64_t batch, Range features,
                float* y, int64_t stride) {
  const bool competes = stride % kPageFloats == 0 && features.end % kWidth == 0;
  for (int64_t t = 0; t < batch; t += kWidth) {
    const int valid = batch - t < kWidth ? static_cast<int>(batch - t) : kWidth;
    const Element* column = static_cast<const Element*>(tile) + t / kWidth * shape.vector;
    // Rows beyond the last feature are room behind the tile: they are not stored.
    const auto transpose = [&](int64_t f, Floats(&rows)[kWidth])
                               __attribute__((always_inline)) {
                                 for (int l = 0; l < kWidth; ++l)
                                   rows[l] = LoadElements(column + (f + l) * shape.row);
                                 Transpose(rows);
                               };
    if (!competes) {
      for (int64_t f = features.begin; f < features.end; f += kWidth) {
        Floats rows[kWidth];
        transpose(f, rows);
        const int64_t left = features.end - f;
        for (int r = 0; r < valid; ++r) {
          float* to = y + (t + r) * stride + f;
          if (left < kWidth) {
            StorePart(to, rows[r], static_cast<int>(left));
          } else {
            Store(to, rows[r]);
          }
        }
      }
      continue;
    }
    RowBuffer buffer;
    ForEachRun(features, [&](int64_t f, auto count) __attribute__((always_inline)) {
      for (int i = 0; i < count; i += kWidth) {
        Floats rows[kWidth];
        transpose(f + i, rows);
        for (int r = 0; r < kWidth; ++r) Store(buffer.row[r] + i, rows[r]);
      }
      for (int r = 0; r < valid; ++r) {
        float* to = y + (t + r) * stride + f;
        // Whole vectors: so is the stride, and ranges are cut at multiples of 64.
        for (int i = 0; i < count; i += kWidth) Store(to + i, Load(buffer.row[r] + i));
      }
    });
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_
