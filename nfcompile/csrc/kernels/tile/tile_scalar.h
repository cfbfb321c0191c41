// The readable twin of the tile kernels: plain loops, `kScalarTile` batch rows at a time.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_SCALAR_H_
#define NFCOMPILE_KERNELS_TILE_TILE_SCALAR_H_

#include <vector>

#include "kernels/precision.h"
#include "kernels/tile/tile.h"

namespace nfcompile {

constexpr int kScalarTile = 16;

static inline float ToFloat(float value) { return value; }
static inline float ToFloat(uint16_t value) { return FromBfloat16(value); }
static inline void FromFloat(float value, float* to) { *to = value; }
static inline void FromFloat(float value, uint16_t* to) { *to = ToBfloat16(value); }

template <typename Element>
float ScalarValue(const TileWeights& w, const TileGroup& group, int64_t k, int64_t r) {
  constexpr int64_t kStep = sizeof(float) / sizeof(Element);
  return w.values.Get(group.value + (k / kStep * group.rows + r) * kStep + k % kStep);
}

// Element t of a feature.
static inline int64_t ScalarAt(const TileShape& shape, int64_t feature, int64_t t) {
  return feature * shape.row + t / kScalarTile * shape.vector + t % kScalarTile;
}

template <typename Element>
float ScalarLoad(const void* tile, bool is_float, int64_t at) {
  return is_float ? static_cast<const float*>(tile)[at]
                  : ToFloat(static_cast<const Element*>(tile)[at]);
}

template <typename Element>
void ScalarStore(void* tile, bool is_float, int64_t at, float value) {
  if (is_float) {
    static_cast<float*>(tile)[at] = value;
  } else {
    FromFloat(value, static_cast<Element*>(tile) + at);
  }
}

// Element t of output `row` from its sum; returns whether it is not zero.
template <typename Element>
bool ScalarFinish(const TileOperands& operands, int64_t row, int64_t t, float sum) {
  const Epilogue& epilogue = operands.epilogue;
  sum += epilogue.bias == nullptr ? 0.0f : epilogue.bias[row];
  float y;
  if (operands.residual != nullptr) {
    const int64_t beside = ScalarAt(operands.residual_shape, row, t);
    y = ActivateWith(
        epilogue, sum,
        ScalarLoad<Element>(operands.residual, operands.residual_is_float, beside));
  } else {
    y = Activate(epilogue, sum);
  }
  ScalarStore<Element>(operands.y, operands.y_is_float, ScalarAt(operands.y_shape, row, t), y);
  return y != 0.0f;
}

template <typename Element>
bool ScalarRun(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int64_t tile = operands.x_shape.vectors * kScalarTile;
  const auto* x = static_cast<const Element*>(operands.x);
  bool any = false;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const TileGroup& group = weights.groups[g];
    for (int64_t r = 0; r < group.rows; ++r) {
      const int64_t row = group.row[r];
      for (int64_t t = 0; t < tile; ++t) {
        float sum = 0.0f;
        for (int64_t k = 0; k < group.count; ++k) {
          const int64_t column = weights.columns[group.column + k];
          sum += ScalarValue<Element>(weights, group, k, r) *
                 ToFloat(x[ScalarAt(operands.x_shape, column, t)]);
        }
        any |= ScalarFinish<Element>(operands, row, t, sum);
      }
    }
  }
  return any;
}

template <typename Element>
bool ScalarPack(const float* x, int64_t stride, int64_t batch, Range features,
                const TileShape& shape, void* tile) {
  bool any = false;
  for (int64_t f = features.begin; f < features.end; ++f) {
    for (int64_t t = 0; t < shape.vectors * kScalarTile; ++t) {
      const float value = t < batch ? x[t * stride + f] : 0.0f;
      any |= value != 0.0f;
      FromFloat(value, static_cast<Element*>(tile) + ScalarAt(shape, f, t));
    }
  }
  return any;
}

template <typename Element>
void ScalarUnpack(const void* tile, const TileShape& shape, int64_t batch, Range features,
                  float* y, int64_t stride) {
  for (int64_t t = 0; t < batch; ++t) {
    for (int64_t f = features.begin; f < features.end; ++f) {
      y[t * stride + f] = ToFloat(static_cast<const Element*>(tile)[ScalarAt(shape, f, t)]);
    }
  }
}

template <typename Element>
void ScalarNormalize(const TileNorm& operands, Range vectors) {
  const NormView& norm = operands.norm;
  std::vector<float> row(norm.features);
  for (int64_t t = vectors.begin * kScalarTile; t < vectors.end * kScalarTile; ++t) {
    for (int64_t f = 0; f < norm.features; ++f) {
      row[f] = ScalarLoad<Element>(operands.x, operands.x_is_float,
                                   ScalarAt(operands.x_shape, f, t));
    }
    NormalizeRows(norm, row.data(), {0, 1}, row.data());
    for (int64_t f = 0; f < norm.features; ++f) {
      ScalarStore<Element>(operands.y, operands.y_is_float, ScalarAt(operands.y_shape, f, t),
                           row[f]);
    }
  }
}

// One axis of one tap at one place: the pixel, or -1 outside the image.
static inline int64_t ScalarPixel(const WindowAxis& axis, int64_t tap, int64_t place) {
  const int64_t pixel = place * axis.stride + tap * axis.dilation - axis.pad;
  return pixel < axis.size ? pixel : -1;
}

template <typename Element>
bool ScalarGather(const float* x, const Images& images, Range places, Range features,
                  const TileShape& shape, void* tile) {
  bool any = false;
  for (int64_t f = features.begin; f < features.end; ++f) {
    const int64_t c = f / images.taps();
    const int64_t tap = f % images.taps();
    for (int64_t t = 0; t < shape.vectors * kScalarTile; ++t) {
      const PlaceWalk at(images, places.begin + t);
      const int64_t row = ScalarPixel(images.rows, tap / images.columns.kernel, at.row());
      const int64_t column =
          ScalarPixel(images.columns, tap % images.columns.kernel, at.column());
      float value = 0;
      if (t < places.size() && at.exists() && row >= 0 && column >= 0) {
        const int64_t pixel = row * images.columns.size + column;
        value = x[images.Offset(at.image(), pixel, kScalarTile) +
                  c * images.ChannelDistance(kScalarTile)];
      }
      any |= value != 0.0f;
      FromFloat(value, static_cast<Element*>(tile) + ScalarAt(shape, f, t));
    }
  }
  return any;
}

static void ScalarScatter(const float* tile, const TileShape& shape, const Images& images,
                          Range places, Range features, float* y) {
  for (int64_t f = features.begin; f < features.end; ++f) {
    for (int64_t place = places.begin; place < places.end; ++place) {
      const PlaceWalk at(images, place);
      if (!at.exists()) continue;
      const int64_t pixel = at.row() * images.columns.out + at.column();
      y[images.Offset(at.image(), pixel, kScalarTile) +
        f * images.ChannelDistance(kScalarTile)] =
          tile[ScalarAt(shape, f, place - places.begin)];
    }
  }
}

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_SCALAR_H_
