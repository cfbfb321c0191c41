// GELU is v F(v), where F is the distribution of the standard normal, or 1/2 + 1/2 tanh(...)
// near it. Sixteen lanes look the coefficients of a polynomial up in registers: no division,
// and half the time of Erf or Tanh.
#ifndef NFCOMPILE_KERNELS_GELU_SIMD_H_
#define NFCOMPILE_KERNELS_GELU_SIMD_H_

#include "kernels/math_simd.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

#if NFCOMPILE_WIDTH == 16

// F(a) - 1/2 for a = (k + r) / kPerUnit, 0 <= k < 16 and |r| <= 1/2, as polynomials in r:
// minimax fits of ours, to 8e-8. The last is for all that lies beyond, where F is 1 to 8e-8.
constexpr float kPerUnit = 2.767857143f;
constexpr float kNormal[5][16] = {
    {0.000000000e+00f, 1.410587877e-01f, 2.650312185e-01f, 3.607890010e-01f, 4.257937074e-01f,
     4.645760953e-01f, 4.849108458e-01f, 4.942811131e-01f, 4.980757535e-01f, 4.994262457e-01f,
     4.998486042e-01f, 4.999646842e-01f, 4.999927282e-01f, 4.999986887e-01f, 4.999997914e-01f,
     5.000000000e-01f},
    {1.441337317e-01f, 1.350266039e-01f, 1.110168099e-01f, 8.010694385e-02f, 5.072972178e-02f,
     2.819447219e-02f, 1.375220716e-02f, 5.886879284e-03f, 2.211560262e-03f, 7.291379152e-04f,
     2.109664492e-04f, 5.356795737e-05f, 1.193656135e-05f, 2.334154942e-06f, 4.005435130e-07f,
     0.000000000e+00f},
    {5.117390629e-06f, -8.812325075e-03f, -1.449079346e-02f, -1.568433456e-02f,
     -1.324343123e-02f, -9.200613014e-03f, -5.385336932e-03f, -2.689557383e-03f,
     -1.154775149e-03f, -4.283263988e-04f, -1.377062727e-04f, -3.846450272e-05f,
     -9.350825167e-06f, -1.981050673e-06f, -3.661342021e-07f, 0.000000000e+00f},
    {-3.166657640e-03f, -2.540766029e-03f, -1.153496094e-03f, 2.951601055e-04f,
     1.189684146e-03f, 1.380796544e-03f, 1.104780356e-03f, 6.925020716e-04f, 3.560571931e-04f,
     1.535333577e-04f, 5.622523531e-05f, 1.762509419e-05f, 4.754542260e-06f, 1.107889830e-06f,
     2.236138101e-07f, 0.000000000e+00f},
    {7.415607251e-05f, 2.725784434e-04f, 3.876963456e-04f, 3.098987218e-04f, 1.317189890e-04f,
     -2.502448297e-05f, -9.842873260e-05f, -9.890198271e-05f, -6.727994332e-05f,
     -3.547107190e-05f, -1.521675676e-05f, -5.439467714e-06f, -1.642509346e-06f,
     -4.226175747e-07f, -9.320664418e-08f, 0.000000000e+00f},
};
constexpr float kNormalByTanh[5][16] = {
    {0.000000000e+00f, 1.410446167e-01f, 2.649464309e-01f, 3.606218398e-01f, 4.256358743e-01f,
     4.645422399e-01f, 4.850217998e-01f, 4.944586754e-01f, 4.982303381e-01f, 4.995203316e-01f,
     4.998916984e-01f, 4.999800324e-01f, 4.999970496e-01f, 4.999996722e-01f, 4.999999702e-01f,
     5.000000000e-01f},
    {1.441337168e-01f, 1.349867433e-01f, 1.109236851e-01f, 8.005560189e-02f, 5.080430955e-02f,
     2.834974602e-02f, 1.386817824e-02f, 5.902890116e-03f, 2.159676980e-03f, 6.683403626e-04f,
     1.717049454e-04f, 3.589785047e-05f, 5.983758456e-06f, 7.790800964e-07f, 7.762121612e-08f,
     0.000000000e+00f},
    {5.232284366e-06f, -8.845765144e-03f, -1.449988037e-02f, -1.563437283e-02f,
     -1.318015438e-02f, -9.190209210e-03f, -5.428937729e-03f, -2.737221541e-03f,
     -1.172979362e-03f, -4.219633411e-04f, -1.252334041e-04f, -3.006511724e-05f,
     -5.720391073e-06f, -8.451421536e-07f, -9.500896425e-08f, 0.000000000e+00f},
    {-3.182876389e-03f, -2.543635666e-03f, -1.136006555e-03f, 3.108776291e-04f,
     1.181318774e-03f, 1.358934678e-03f, 1.094332431e-03f, 6.988033419e-04f, 3.665702243e-04f,
     1.585594146e-04f, 5.595479524e-05f, 1.584082929e-05f, 3.530419235e-06f, 6.076915042e-07f,
     7.927616963e-08f, 0.000000000e+00f},
    {7.583529077e-05f, 2.779490605e-04f, 3.911368840e-04f, 3.056508140e-04f, 1.255829411e-04f,
     -2.497818605e-05f, -9.378303366e-05f, -9.599319310e-05f, -6.787969323e-05f,
     -3.714489503e-05f, -1.605755460e-05f, -5.451828201e-06f, -1.433336934e-06f,
     -2.870680760e-07f, -4.306448886e-08f, 0.000000000e+00f},
};

// Lane l of the result is table[the four lowest bits of index[l]].
NFCOMPILE_INLINE Floats LookUp(const float (&table)[16], Ints index) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(
      _mm512_permutexvar_ps(reinterpret_cast<__m512i>(index), _mm512_loadu_ps(table)));
#else
  return FloatsOf([&](int lane) { return table[index[lane] & 15]; }, Lanes());
#endif
}

NFCOMPILE_INLINE Floats Distribution(Floats v, const float (&table)[5][16]) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats scaled = AtMost(Abs(v), Splat(15.0f / kPerUnit)) * Splat(kPerUnit);
  const Floats shifted = scaled + Splat(kRound);
  const Floats r = scaled - (shifted - Splat(kRound));
  const Ints k = reinterpret_cast<Ints>(shifted);
  Floats sum = LookUp(table[4], k);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) sum = sum * r + LookUp(table[i], k);
  return Splat(0.5f) + WithSignOf(sum, v);
}

NFCOMPILE_INLINE Floats Gelu(Floats v) { return v * Distribution(v, kNormal); }
NFCOMPILE_INLINE Floats GeluTanh(Floats v) { return v * Distribution(v, kNormalByTanh); }

#else

NFCOMPILE_INLINE Floats Gelu(Floats v) {
  return Splat(0.5f) * v * (Splat(1.0f) + Erf(v * Splat(0.70710678f)));
}

NFCOMPILE_INLINE Floats GeluTanh(Floats v) {
  const Floats inner = Splat(0.79788456f) * (v + Splat(0.044715f) * v * v * v);
  return Splat(0.5f) * v * (Splat(1.0f) + Tanh(inner));
}

#endif

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_GELU_SIMD_H_
