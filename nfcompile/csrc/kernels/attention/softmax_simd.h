// The softmax of one row of scores; lanes are neighbouring keys.
#ifndef NFCOMPILE_KERNELS_ATTENTION_SOFTMAX_SIMD_H_
#define NFCOMPILE_KERNELS_ATTENTION_SOFTMAX_SIMD_H_

#include "kernels/math_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// exp(v) for v <= 0 in half of the instructions of Exp. Within 2e-7 of the largest value, which
// is what a softmax needs; below -88 it is zero, so that keys that are masked cost nothing:
// processors may take a hundred cycles for a product with a subnormal number.
NFCOMPILE_INLINE Floats ExpBelowZero(Floats v) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats least = Splat(-88.0f);    // where 2^n is zero
  v = Select(least > v, least, v);
  const Floats shifted = v * Splat(1.44269504f) + Splat(kRound);
  const Floats r = v - (shifted - Splat(kRound)) * Splat(0.693147181f);
  // (exp(r) - 1 - r) / r^2, to 1.1e-7 of exp(r).
  const Floats tail =
      Polynomial(r, {4.999923154e-01f, 1.666711474e-01f, 4.189015026e-02f, 8.312507739e-03f});
  const Floats power = (tail * r + Splat(1.0f)) * r + Splat(1.0f);
  const Ints n = reinterpret_cast<Ints>(shifted) - reinterpret_cast<Ints>(Splat(kRound));
  return power * reinterpret_cast<Floats>((n + 127) << 23);
}

// `op` of all lanes, in every lane.
template <int kStep = kWidth / 2, typename Op>
NFCOMPILE_INLINE Floats Combine(Floats v, Op op) {
  v = op(v, __builtin_shuffle(v, IntsOf([](int l) { return l ^ kStep; }, Lanes())));
  if constexpr (kStep > 1) {
    return Combine<kStep / 2>(v, op);
  } else {
    return v;
  }
}

// What is added to a row of scores.
struct RowBias {
  const float* data = nullptr;  // null: nothing
  bool shared = false;          // by all keys

  NFCOMPILE_INLINE Floats Add(Floats score, int64_t k, int lanes) const {
    if (data == nullptr) return score;
    if (shared) return score + Splat(*data);
    return score + (lanes == kWidth ? Load(data + k) : LoadPart(data + k, lanes));
  }
};

// s[k] = exp(s[k] + bias[k] - m) with m the largest of s + bias; gives 1 / sum of s. What lies
// behind the last key is overwritten up to whole vectors.
NFCOMPILE_INLINE float Softmax(float* s, int64_t keys, const RowBias& bias) {
  const Floats nothing = Splat(-__builtin_inff());
  const auto larger = [](Floats a, Floats b) { return Select(a > b, a, b); };
  Floats most = nothing;
  int64_t k = 0;
  for (; k + kWidth <= keys; k += kWidth) {
    const Floats score = bias.Add(Load(s + k), k, kWidth);
    Store(s + k, score);
    most = larger(score, most);
  }
  if (k < keys) {
    const int rest = static_cast<int>(keys - k);
    const Ints lane = IntsOf([](int l) { return l; }, Lanes());
    const Floats score = Select(lane < rest, bias.Add(Load(s + k), k, rest), nothing);
    Store(s + k, score);
    most = larger(score, most);
  }
  most = Combine(most, larger);
  Floats sum = Splat(0.0f);
  for (k = 0; k < keys; k += kWidth) {
    const Floats power = ExpBelowZero(Load(s + k) - most);
    Store(s + k, power);
    sum += power;
  }
  return keys == 0 ? 0.0f : 1.0f / Combine(sum, [](Floats a, Floats b) { return a + b; })[0];
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ATTENTION_SOFTMAX_SIMD_H_
