// exp, sigmoid, tanh and erf of a vector, within about 1e-6 of the true value: relative, and
// absolute near zero. NaN stays NaN. The polynomials are minimax fits of ours (reweighted
// least squares in double precision); the error of each is beside it.
#ifndef NFCOMPILE_KERNELS_MATH_SIMD_H_
#define NFCOMPILE_KERNELS_MATH_SIMD_H_

#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// c[0] + c[1] v + c[2] v^2 + ...
template <int kTerms>
NFCOMPILE_INLINE Floats Polynomial(Floats v, const float (&c)[kTerms]) {
  Floats sum = Splat(c[kTerms - 1]);
  for (int i = kTerms - 2; i >= 0; --i) sum = sum * v + Splat(c[i]);
  return sum;
}

NFCOMPILE_INLINE Floats Abs(Floats v) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7fffffff);
}

NFCOMPILE_INLINE Floats WithSignOf(Floats magnitude, Floats sign) {
  const Ints bit = reinterpret_cast<Ints>(sign) & static_cast<int32_t>(0x80000000u);
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(magnitude) | bit);
}

// exp(v) = 2^n exp(r) with |r| <= ln(2) / 2; 2^n in two factors, as n reaches 128.
NFCOMPILE_INLINE Floats Exp(Floats v) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  v = AtMost(AtLeast(v, Splat(-104.0f)), Splat(89.0f));
  const Floats shifted = v * Splat(1.44269504f) + Splat(kRound);
  const Floats n = shifted - Splat(kRound);
  const Floats r = (v - n * Splat(0.693359375f)) + n * Splat(2.12194440e-4f);
  // (exp(r) - 1 - r) / r^2, to 4e-9 of exp(r).
  const Floats tail = Polynomial(r, {5.000000101e-01f, 1.666651290e-01f, 4.166618723e-02f,
                                     8.369597244e-03f, 1.395172242e-03f});
  const Floats power = (tail * r) * r + r + Splat(1.0f);
  const Ints whole = reinterpret_cast<Ints>(shifted) - reinterpret_cast<Ints>(Splat(kRound));
  const Ints half = whole >> 1;
  const Floats scale = reinterpret_cast<Floats>((half + 127) << 23);
  const Floats rest = reinterpret_cast<Floats>((whole - half + 127) << 23);
  return power * scale * rest;
}

NFCOMPILE_INLINE Floats Sigmoid(Floats v) { return Splat(1.0f) / (Splat(1.0f) + Exp(-v)); }

NFCOMPILE_INLINE Floats Tanh(Floats v) {
  const Floats a = Abs(v);
  const Floats z = v * v;
  // tanh(v) / v on |v| < 0.65, to 6e-9.
  const Floats small =
      v * Polynomial(z, {9.999999942e-01f, -3.333323318e-01f, 1.333049130e-01f,
                         -5.367038706e-02f, 2.042909080e-02f, -5.481473161e-03f});
  const Floats large = Splat(1.0f) - Splat(2.0f) / (Exp(a + a) + Splat(1.0f));
  return Select(a < Splat(0.625f), small, WithSignOf(large, v));
}

// erf(v) = v P(v^2) / Q(v^2) on |v| < 3.95, to 2e-8 before rounding; beyond, erf rounds to 1.
NFCOMPILE_INLINE Floats Erf(Floats v) {
  const Floats z = v * v;
  const Floats p = Polynomial(z, {1.128379143e+00f, 1.915572975e-01f, 5.287637936e-02f,
                                  3.808467647e-03f, 2.846957551e-04f, 2.025866957e-06f});
  const Floats q = Polynomial(z, {1.000000000e+00f, 5.030959075e-01f, 1.145625224e-01f,
                                  1.505569585e-02f, 1.170802455e-03f, 3.783180039e-05f});
  return Select(Abs(v) > Splat(3.95f), WithSignOf(Splat(1.0f), v), v * p / q);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_MATH_SIMD_H_
