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

constexpr int64_t kFewQueries = 2;
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

// scores[q, k] = scale * sum_i q[q, i] packed[i, k] with i < depth.
template <typename Add>
void PackedScores(Rows<const float> q, int64_t queries, const float* packed, int64_t depth,
                  const Attention& a, Rows<float> scores) {
  float scale[kAttentionQueries];
  for (float& value : scale) value = a.scale;
  for (int64_t panel = 0; panel < a.keys; panel += kPanel) {
    const int64_t lanes = PanelLanes(a.keys, panel);
    Multiply<Add>({.a = q,
                   .b = {packed + panel * depth, lanes},
                   .c = {scores.data + panel, scores.stride},
                   .factor = scale,
                   .depth = depth},
                  queries, lanes);
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

// What belongs to one head.
struct Head {
  Rows<const float> q;
  Rows<const float> k;
  Rows<const float> v;
  Rows<float> y;
  RowBias bias;  // of the first query
};

Head FindHead(const Attention& a, int64_t number) {
  const int64_t batch = number / a.heads;
  const int64_t head = number % a.heads;
  const int64_t key_head = a.KeyHead(head);
  const int64_t y_row = a.heads * a.value_size;
  const auto& strides = a.bias.strides;
  const float* bias = a.bias.data;
  if (bias != nullptr) bias += batch * strides[0] + head * strides[1];
  return {.q = {a.q.Head(batch, head), a.q.row},
          .k = {a.k.Head(batch, key_head), a.k.row},
          .v = {a.v.Head(batch, key_head), a.v.row},
          .y = {a.y + batch * a.queries * y_row + head * a.value_size, y_row},
          .bias = {bias, strides[3] == 0}};
}

// Inline, as PrefetchHead: of a call that does nothing else GCC thinks that it does nothing.
NFCOMPILE_INLINE void Prefetch(Rows<const float> matrix, Range rows, int64_t columns) {
  constexpr int64_t kCacheLine = 16;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t i = 0; i < columns; i += kCacheLine) {
      __builtin_prefetch(matrix[r] + i, /*rw=*/0, /*locality=*/2);
    }
  }
}

// Asks for the part of a head that belongs to these queries, of all. Its rows are too short,
// and too far apart, for the processor to see what comes next (Zen 4, 16 sequences of 128
// tokens: 9.6 ms for 10.2).
NFCOMPILE_INLINE void PrefetchHead(const Attention& a, int64_t number, Range queries) {
  if (number == a.batch * a.heads) return;
  const Head head = FindHead(a, number);
  const Range keys{a.keys * queries.begin / a.queries, a.keys * queries.end / a.queries};
  Prefetch(head.q, queries, a.size);
  Prefetch(head.k, keys, a.size);
  Prefetch(head.v, keys, a.value_size);
}

// Of these queries; `inverse`: what each row is to be multiplied with.
NFCOMPILE_INLINE void SoftmaxRows(const Attention& a, const Head& head, Range queries,
                                  Rows<float> scores, float* inverse) {
  for (int64_t r = 0; r < queries.size(); ++r) {
    RowBias bias = head.bias;
    if (bias.data != nullptr) bias.data += (queries.begin + r) * a.bias.strides[2];
    inverse[r] = Softmax(scores[r], a.keys, bias);
    if (a.nan_is_zero && inverse[r] != inverse[r]) {
      for (int64_t k = 0; k < a.keys; k += kWidth) Store(scores[r] + k, Splat(0.0f));
      inverse[r] = 0.0f;
    }
  }
}

void RunHead(const Attention& a, int64_t number, Range queries, float* workspace) {
  const Head head = FindHead(a, number);
  const Rows<float> scores{workspace, AttentionSizes(a).scores_stride};
  float* packed = scores[kAttentionQueries];
  const bool few = a.queries <= kFewQueries;
  if (!few) PackKeys(head.k, a.keys, a.size, packed);
  for (int64_t m = queries.begin; m < queries.end; m += kAttentionQueries) {
    const int64_t left = queries.end - m;
    const int64_t count = left < kAttentionQueries ? left : kAttentionQueries;
    const Rows<const float> q{head.q[m], head.q.stride};
    if (few) {
      FewScores(q, count, head.k, a, scores);
    } else {
      PrefetchHead(a, number + 1, {m, m + count});
      PackedScores<AddFloats>(q, count, packed, a.size, a, scores);
    }
    float inverse[kAttentionQueries];
    SoftmaxRows(a, head, {m, m + count}, scores, inverse);
    Multiply<AddFloats>({.a = {scores.data, scores.stride},
                         .b = head.v,
                         .c = {head.y[m], head.y.stride},
                         .factor = inverse,
                         .depth = a.keys},
                        count, a.value_size);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SIMD_H_
