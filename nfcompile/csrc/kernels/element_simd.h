// The two types that weights and tiles are stored in: loads widen to float, stores round from
// it.
#ifndef NFCOMPILE_KERNELS_ELEMENT_SIMD_H_
#define NFCOMPILE_KERNELS_ELEMENT_SIMD_H_

#include "kernels/precision.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

typedef uint16_t Halves __attribute__((vector_size(2 * kWidth)));
typedef uint16_t UnalignedHalves
    __attribute__((vector_size(2 * kWidth), aligned(2), may_alias));

NFCOMPILE_INLINE Floats FromBits(Ints bits) { return reinterpret_cast<Floats>(bits); }
NFCOMPILE_INLINE Ints ToBits(Floats value) { return reinterpret_cast<Ints>(value); }

NFCOMPILE_INLINE Floats Widen(const uint16_t* p) {
  // The compiler's own conversion takes twice the instructions.
#if defined(__AVX512F__)
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return reinterpret_cast<Floats>(_mm512_slli_epi32(wide, 16));
#elif defined(__AVX2__) && NFCOMPILE_WIDTH == 8
  const __m256i wide =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return reinterpret_cast<Floats>(_mm256_slli_epi32(wide, 16));
#else
  const Halves halves = *reinterpret_cast<const UnalignedHalves*>(p);
  return FromBits(__builtin_convertvector(halves, Ints) << 16);
#endif
}

// To nearest, ties to even; NaN stays NaN.
NFCOMPILE_INLINE void Narrow(uint16_t* p, Floats value) {
  const Ints bits = ToBits(value);
  const Ints rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Ints kept = value == value ? rounded : (bits >> 16) | 0x40;
  *reinterpret_cast<UnalignedHalves*>(p) = __builtin_convertvector(kept & 0xffff, Halves);
}

NFCOMPILE_INLINE Floats LoadElements(const float* p) { return Load(p); }
NFCOMPILE_INLINE Floats LoadElements(const uint16_t* p) { return Widen(p); }
NFCOMPILE_INLINE float LoadElement(const float* p) { return *p; }
NFCOMPILE_INLINE float LoadElement(const uint16_t* p) { return FromBfloat16(*p); }
NFCOMPILE_INLINE void StoreElements(float* p, Floats value) { Store(p, value); }
NFCOMPILE_INLINE void StoreElements(uint16_t* p, Floats value) { Narrow(p, value); }

// Collects whether any value was not zero.
class AnyNonZero {
 public:
  NFCOMPILE_INLINE void Add(Floats value) { bits_ |= ToBits(value); }
  NFCOMPILE_INLINE void Add(const AnyNonZero& others) { bits_ |= others.bits_; }
  NFCOMPILE_INLINE bool Found() const {
    int32_t all = 0;
    for (int i = 0; i < kWidth; ++i) all |= bits_[i];
    return (all & 0x7fffffff) != 0;
  }

 private:
  Ints bits_ = {};
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ELEMENT_SIMD_H_
