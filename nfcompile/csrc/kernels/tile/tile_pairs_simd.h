// Pairs of bf16 columns for the dot product of pairs:
//
//   acc[t] += x[k, t] w[k] + x[k + 1, t] w[k + 1]        products exact, sums in fp32
//
// The two columns are interleaved in registers. Of 32 batch rows the unpacking leaves the
// quarters 0 2 4 6 in one vector and 1 3 5 7 in the other, each quarter being 4 rows; sums stay
// so, and only stores put them in order.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_PAIRS_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_PAIRS_SIMD_H_

#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

NFCOMPILE_INLINE __m512i LoadBits(const uint16_t* p) { return _mm512_loadu_si512(p); }

NFCOMPILE_INLINE Floats AddPairs(Floats acc, __m512i x, __m512i w) {
  return reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(acc),
                                                   reinterpret_cast<__m512bh>(x),
                                                   reinterpret_cast<__m512bh>(w)));
}

NFCOMPILE_INLINE __m512i SplatPair(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  return _mm512_set1_epi32(pair);
}

// x[k, t], x[k + 1, t] in pairs for the vectors of a strip.
template <int kVectors>
NFCOMPILE_INLINE void LoadPairs(const uint16_t* a, const uint16_t* b, __m512i (&x)[kVectors]) {
  if constexpr (kVectors == 1) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    x[0] = _mm512_permutexvar_epi16(order, both);
  } else {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; v += 2) {
      const __m512i first = LoadBits(a + v * kWidth);
      const __m512i second = LoadBits(b + v * kWidth);
      x[v] = _mm512_unpacklo_epi16(first, second);
      x[v + 1] = _mm512_unpackhi_epi16(first, second);
    }
  }
}

// See TileEpilogue: vectors follow each other in memory.
struct LanesOfPairs {
  using Element = uint16_t;

  template <int kVectors>
  static NFCOMPILE_INLINE void LoadVectors(const float* p, int64_t, Floats (&to)[kVectors]) {
    if constexpr (kVectors == 1) {
      to[0] = Load(p);
    } else {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v += 2) {
        const __m512 front = _mm512_loadu_ps(p + v * kWidth);
        const __m512 back = _mm512_loadu_ps(p + (v + 1) * kWidth);
        to[v] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(front, back, 0x88));
        to[v + 1] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(front, back, 0xdd));
      }
    }
  }

  template <int kVectors>
  static NFCOMPILE_INLINE void LoadVectors(const uint16_t* p, int64_t, Floats (&to)[kVectors]) {
    if constexpr (kVectors == 1) {
      to[0] = Widen(p);
    } else {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v += 2) {
        const __m512i bits = LoadBits(p + v * kWidth);
        const __m512i zero = _mm512_setzero_si512();
        to[v] = reinterpret_cast<Floats>(_mm512_unpacklo_epi16(zero, bits));
        to[v + 1] = reinterpret_cast<Floats>(_mm512_unpackhi_epi16(zero, bits));
      }
    }
  }

  template <int kVectors>
  static NFCOMPILE_INLINE void StoreVectors(float* p, int64_t, const Floats (&from)[kVectors]) {
    if constexpr (kVectors == 1) {
      Store(p, from[0]);
    } else {
      const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
      const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v += 2) {
        const auto a = reinterpret_cast<__m512i>(from[v]);
        const auto b = reinterpret_cast<__m512i>(from[v + 1]);
        _mm512_storeu_si512(p + v * kWidth, _mm512_permutex2var_epi64(a, front, b));
        _mm512_storeu_si512(p + (v + 1) * kWidth, _mm512_permutex2var_epi64(a, back, b));
      }
    }
  }

  template <int kVectors>
  static NFCOMPILE_INLINE void StoreVectors(uint16_t* p, int64_t,
                                            const Floats (&from)[kVectors]) {
    if constexpr (kVectors == 1) {
      const __m256bh bits = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(from[0]));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(bits));
    } else {
      const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; v += 2) {
        const auto low = reinterpret_cast<__m512>(from[v]);
        const auto high = reinterpret_cast<__m512>(from[v + 1]);
        const auto bits = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
        _mm512_storeu_si512(p + v * kWidth, _mm512_permutexvar_epi64(order, bits));
      }
    }
  }
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_PAIRS_SIMD_H_
