// Between row-major matrices and feature-major tiles, by transposes in registers.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/tile/tile.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// tile[f, t] = x[t, f] for one vector of t, of which `valid` rows exist.
template <typename Element>
NFCOMPILE_INLINE void PackStrip(const float* x, int64_t stride, int valid, Range features,
                                Element* tile, int64_t row, AnyNonZero& any) {
  for (int64_t f = features.begin; f < features.end; f += kWidth) {
    const int64_t left = features.end - f;
    const int lanes = left < kWidth ? static_cast<int>(left) : kWidth;
    Floats rows[kWidth];
    for (int r = 0; r < kWidth; ++r) {
      const float* from = x + r * stride + f;
      rows[r] = r >= valid ? Splat(0.0f) : lanes == kWidth ? Load(from) : LoadPart(from, lanes);
      any.Add(rows[r]);
    }
    Transpose(rows);
    for (int i = 0; i < lanes; ++i) StoreElements(tile + (f + i) * row, rows[i]);
  }
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
  // Few rows of y at a time: each lies in a page of its own.
  for (int64_t t = 0; t < batch; t += kWidth) {
    for (int64_t f = features.begin; f < features.end; f += kWidth) {
      const int64_t left = features.end - f;
      const int lanes = left < kWidth ? static_cast<int>(left) : kWidth;
      Floats rows[kWidth];
      // Rows beyond the last feature are room behind the tile: they are not stored.
      const Element* from =
          static_cast<const Element*>(tile) + f * shape.row + t / kWidth * shape.vector;
      for (int i = 0; i < kWidth; ++i) rows[i] = LoadElements(from + i * shape.row);
      Transpose(rows);
      const int count = batch - t < kWidth ? static_cast<int>(batch - t) : kWidth;
      for (int r = 0; r < count; ++r) {
        float* to = y + (t + r) * stride + f;
        if (lanes == kWidth) {
          Store(to, rows[r]);
        } else {
          StorePart(to, rows[r], lanes);
        }
      }
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_PACK_SIMD_H_
