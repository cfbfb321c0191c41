// The attention kernel of one instruction set.
//
// The keys of a head are transposed once, so that scores have neighbouring keys in the lanes,
// as biases lie; values are used as they lie. Where there are few queries, that would cost more
// than the scores themselves, which are then inner products of rows.
#ifndef NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SIMD_H_
#define NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SIMD_H_

#include "kernels/attention/attention.h"
#include "kernels/attention/product_simd.h"
#include "kernels/attention/softmax_simd.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int64_t kFewQueries = 4;
// Keys of a panel: packed[i, k] is contiguous for them.
constexpr int64_t kPanel = 2 * kWidth;

// Lanes of the panel that starts at key k: those of the last one may be one vector.
NFCOMPILE_INLINE int64_t PanelLanes(int64_t keys, int64_t k) {
  return keys - k > kWidth ? kPanel : kWidth;
}

void PackKeys(Rows<const float> k, int64_t keys, int64_t size, float* packed) {
  for (int64_t first = 0; first < keys; first += kWidth) {
    const int64_t panel = first / kPanel * kPanel;
    const int64_t left = keys - first;
    const int valid = left < kWidth ? static_cast<int>(left) : kWidth;
    TransposeStrip(k[first], k.stride, valid, size, packed + panel * size + (first - panel),
                   PanelLanes(keys, panel));
  }
}

NFCOMPILE_INLINE Floats Dot(const float* a, const float* b, int64_t size) {
  Floats sum = Splat(0.0f);
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) sum += Load(a + i) * Load(b + i);
  if (i == size) return sum;
  const int rest = static_cast<int>(size - i);
  return sum + LoadPart(a + i, rest) * LoadPart(b + i, rest);
}

// scores[q, k] = scale * sum_i q[q, i] k[k, i], by rows.
void FewScores(Rows<const float> q, int64_t queries, Rows<const float> k, const Attention& a,
               Rows<float> scores) {
  for (int64_t first = 0; first < a.keys; first += kWidth) {
    const int64_t left = a.keys - first;
    for (int64_t m = 0; m < queries; ++m) {
      Floats sums[kWidth];
      for (int i = 0; i < kWidth; ++i) {
        sums[i] = i < left ? Dot(q[m], k[first + i], a.size) : Splat(0.0f);
      }
      Transpose(sums);
#pragma GCC unroll 4
      for (int half = kWidth / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
      }
      Store(scores[m] + first, sums[0] * Splat(a.scale));
    }
  }
}

void RunHead(const Attention& a, int64_t batch, int64_t head, Range queries, float* workspace) {
  const int64_t row = a.heads * a.size;
  const int64_t value_row = a.heads * a.value_size;
  const Rows<const float> k{a.k + batch * a.keys * row + head * a.size, row};
  const Rows<const float> v{a.v + batch * a.keys * value_row + head * a.value_size, value_row};
  const Rows<float> scores{workspace, ScoresStride(a.keys)};
  float* packed = scores[kAttentionQueries];
  const bool few = a.queries <= kFewQueries;
  if (!few) PackKeys(k, a.keys, a.size, packed);
  float scale[kAttentionQueries];
  for (float& value : scale) value = a.scale;

  for (int64_t m = queries.begin; m < queries.end; m += kAttentionQueries) {
    const int64_t left = queries.end - m;
    const int64_t count = left < kAttentionQueries ? left : kAttentionQueries;
    const int64_t first = batch * a.queries + m;
    const Rows<const float> q{a.q + first * row + head * a.size, row};
    if (few) FewScores(q, count, k, a, scores);
    for (int64_t panel = 0; !few && panel < a.keys; panel += kPanel) {
      const int64_t lanes = PanelLanes(a.keys, panel);
      Multiply({.a = q,
                .b = {packed + panel * a.size, lanes},
                .c = {scores.data + panel, scores.stride},
                .factor = scale,
                .depth = a.size},
               count, lanes);
    }
    float inverse[kAttentionQueries];
    RowBias bias{a.bias.data, a.bias.strides[3] == 0};
    for (int64_t r = 0; r < count; ++r) {
      if (a.bias.data != nullptr) {
        bias.data = a.bias.data + batch * a.bias.strides[0] + head * a.bias.strides[1] +
                    (m + r) * a.bias.strides[2];
      }
      inverse[r] = Softmax(scores[r], a.keys, bias);
    }
    Multiply({.a = {scores.data, scores.stride},
              .b = v,
              .c = {a.y + first * value_row + head * a.value_size, value_row},
              .factor = inverse,
              .depth = a.keys},
             count, a.value_size);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SIMD_H_
