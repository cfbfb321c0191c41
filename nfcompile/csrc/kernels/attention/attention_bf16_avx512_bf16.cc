// attention_bf16_avx512_bf16: products of bf16 pairs, sums and softmax in fp32.
//
// A word of 32 bits is a pair: two neighbours along the axis that is summed over. So queries
// and weights are pairs as soon as their rows are rounded, keys are transposed word by word,
// and values of two keys are put together lane by lane.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#define NFCOMPILE_ATTENTION_ROWS 8
#include "kernels/attention/attention_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
namespace {

struct AddPairs {
  NFCOMPILE_INLINE static Floats Run(Floats sum, Floats a, Floats b) {
    const auto pairs = [](Floats v) { return reinterpret_cast<__m512bh>(v); };
    return reinterpret_cast<Floats>(
        _mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), pairs(a), pairs(b)));
  }
};

NFCOMPILE_INLINE __m256i Round(Floats v) {
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
}

// `to`: whole vectors, zero behind the last element; it may be `from`.
void RoundRow(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t left = count - i;
    const Floats v =
        left < kWidth ? LoadPart(from + i, static_cast<int>(left)) : Load(from + i);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i / 2), Round(v));
  }
}

void PackRoundedKeys(Rows<const float> k, int64_t keys, int64_t size, int64_t pairs,
                     Rows<float> strip, float* packed) {
  for (int64_t first = 0; first < keys; first += kWidth) {
    const int64_t left = keys - first;
    const int valid = left < kWidth ? static_cast<int>(left) : kWidth;
    for (int r = 0; r < valid; ++r) RoundRow(k[first + r], size, strip[r]);
    const int64_t panel = first / kPanel * kPanel;
    TransposeStrip(strip.data, strip.stride, valid, pairs,
                   packed + panel * pairs + (first - panel), PanelLanes(keys, panel));
  }
}

// packed[p, j] = (v[2 p, j], v[2 p + 1, j]).
void PackValues(Rows<const float> v, int64_t keys, int64_t size, Rows<float> packed) {
  for (int64_t k = 0; k < keys; k += 2) {
    for (int64_t j = 0; j < size; j += kWidth) {
      const int lanes = size - j < kWidth ? static_cast<int>(size - j) : kWidth;
      const Floats first = LoadPart(v[k] + j, lanes);
      const Floats second = k + 1 < keys ? LoadPart(v[k + 1] + j, lanes) : Splat(0.0f);
      const __m512i low = _mm512_cvtepu16_epi32(Round(first));
      const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(Round(second)), 16);
      Store(packed[k / 2] + j, reinterpret_cast<Floats>(_mm512_or_si512(low, high)));
    }
  }
}

void RunRoundedHead(const Attention& a, int64_t number, Range queries, float* workspace) {
  if (a.queries <= kFewQueries) return RunHead(a, number, queries, workspace);
  const Head head = FindHead(a, number);
  const AttentionSizes sizes(a);
  const int64_t pairs = CeilDiv(a.size, 2);
  const Rows<float> scores{workspace, sizes.scores_stride};
  float* packed = scores[kAttentionQueries];
  const Rows<float> values{packed + sizes.keys, sizes.values_stride};
  const Rows<float> rows{values.data + sizes.values, sizes.row};
  PackRoundedKeys(head.k, a.keys, a.size, pairs, rows, packed);
  PackValues(head.v, a.keys, a.value_size, values);
  for (int64_t m = queries.begin; m < queries.end; m += kAttentionQueries) {
    const int64_t left = queries.end - m;
    const int64_t count = left < kAttentionQueries ? left : kAttentionQueries;
    for (int64_t r = 0; r < count; ++r) RoundRow(head.q[m + r], a.size, rows[r]);
    PrefetchHead(a, number + 1, {m, m + count});
    PackedScores<AddPairs>({rows.data, rows.stride}, count, packed, pairs, a, scores);
    float inverse[kAttentionQueries];
    SoftmaxRows(a, head, {m, m + count}, scores, inverse);
    for (int64_t r = 0; r < count; ++r) RoundRow(scores[r], a.keys, scores[r]);
    Multiply<AddPairs>({.a = {scores.data, scores.stride},
                        .b = {values.data, values.stride},
                        .c = {head.y[m], head.y.stride},
                        .factor = inverse,
                        .depth = CeilDiv(a.keys, 2)},
                       count, a.value_size);
  }
}

}  // namespace
}  // namespace avx512_bf16

const AttentionKernel attention_bf16_avx512_bf16 = {
    .name = "attention_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .precision = Precision::kBfloat16,
    .run = avx512_bf16::RunRoundedHead,
};

}  // namespace nfcompile
