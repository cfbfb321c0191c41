// Vectors of kWidth floats in the compiler's own notation, for the kernels of ONE instruction
// set. Only a `<family>_f32_<isa>.cc` file includes this, after it has defined
//
//   NFCOMPILE_ISA    the name of its namespace, for example avx2
//   NFCOMPILE_WIDTH  floats in a vector: 4, 8 or 16
//
// Everything here and in the other *_simd.h files sits in an anonymous namespace: an inline
// function with external linkage, compiled for AVX-512, is a weak symbol that the linker may
// hand to every caller. For the same reason these files include no C++ library header with
// code in it.
#ifndef NFCOMPILE_KERNELS_SIMD_H_
#define NFCOMPILE_KERNELS_SIMD_H_

#include <cstdint>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define NFCOMPILE_INLINE inline __attribute__((always_inline))

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kWidth = NFCOMPILE_WIDTH;

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef float UnalignedFloats __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

using Lanes = std::make_integer_sequence<int, kWidth>;

NFCOMPILE_INLINE Floats Load(const float* p) {
  return *reinterpret_cast<const UnalignedFloats*>(p);
}

NFCOMPILE_INLINE void Store(float* p, Floats v) { *reinterpret_cast<UnalignedFloats*>(p) = v; }

template <typename Rule, int... kLane>
NFCOMPILE_INLINE Floats FloatsOf(Rule rule, std::integer_sequence<int, kLane...>) {
  return Floats{rule(kLane)...};
}

template <typename Rule, int... kLane>
NFCOMPILE_INLINE Ints IntsOf(Rule rule, std::integer_sequence<int, kLane...>) {
  return Ints{rule(kLane)...};
}

NFCOMPILE_INLINE Floats Splat(float value) {
  return FloatsOf([=](int) { return value; }, Lanes());
}

// The lanes of a mask from memory, of which p is lane 0, zero in the others; touches nothing
// else.
NFCOMPILE_INLINE Floats LoadLanes(const float* p, uint32_t lanes) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes), p));
#elif defined(__AVX2__) && NFCOMPILE_WIDTH == 8
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(lanes)), bits);
  return reinterpret_cast<Floats>(_mm256_maskload_ps(p, _mm256_cmpeq_epi32(set, bits)));
#else
  float values[kWidth] __attribute__((aligned(64))) = {};
  for (int l = 0; l < kWidth; ++l) {
    if (lanes >> l & 1) values[l] = p[l];
  }
  return Load(values);
#endif
}

NFCOMPILE_INLINE Floats LoadPart(const float* p, int count) {
  return LoadLanes(p, (1u << count) - 1);
}

NFCOMPILE_INLINE void StorePart(float* p, Floats v, int count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1),
                        reinterpret_cast<__m512>(v));
#else
  float lanes[kWidth] __attribute__((aligned(64)));
  Store(lanes, v);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
#endif
}

// Lanes 0, 2, 4 ... of both.
NFCOMPILE_INLINE Floats EvenLanes(Floats low, Floats high) {
  const auto even = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(low, high, (2 * kLane)...);
  };
  return even(Lanes());
}

NFCOMPILE_INLINE Floats Select(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }

// NaN passes, as every comparison with it is false.
NFCOMPILE_INLINE Floats AtLeast(Floats v, Floats low) { return Select(v < low, low, v); }
NFCOMPILE_INLINE Floats AtMost(Floats v, Floats high) { return Select(v > high, high, v); }

// Lane l of the result is p[l % kPeriod]: one load that broadcasts kPeriod floats.
template <int kPeriod>
NFCOMPILE_INLINE Floats LoadRepeated(const float* p) {
  if constexpr (kPeriod == 1) {
    return Splat(*p);
#if defined(__AVX512F__)
  } else if constexpr (kWidth == 16 && kPeriod == 4) {
    return reinterpret_cast<Floats>(_mm512_broadcast_f32x4(_mm_loadu_ps(p)));
  } else if constexpr (kWidth == 16 && kPeriod == 8) {
    return reinterpret_cast<Floats>(_mm512_broadcast_f32x8(_mm256_loadu_ps(p)));
#elif defined(__AVX2__)
  } else if constexpr (kWidth == 8 && kPeriod == 4) {
    return reinterpret_cast<Floats>(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)));
#endif
  } else if constexpr (kPeriod == 2) {
    double pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    typedef double Doubles __attribute__((vector_size(4 * kWidth)));
    const auto repeat = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
      return Doubles{((void)kLane, pair)...};
    };
    return reinterpret_cast<Floats>(repeat(std::make_integer_sequence<int, kWidth / 2>()));
  } else {
    typedef float Part __attribute__((vector_size(4 * kPeriod), aligned(4), may_alias));
    typedef float Whole __attribute__((vector_size(4 * kPeriod)));
    const Whole part = *reinterpret_cast<const Part*>(p);
    const auto repeat = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
      return __builtin_shufflevector(part, part, (kLane % kPeriod)...);
    };
    return repeat(Lanes());
  }
}

// Lane l of the result is p[index[l]]. Scalar loads beat the gather instruction (GFLOP/s of CSR
// at batch 1, 2048 wide at density 0.10: Zen 3, 8 lanes, 6.7 for 4.3; Zen 4, 16 lanes, 8.4
// for 5.0).
NFCOMPILE_INLINE Floats Gather(const float* p, const int32_t* index) {
  return FloatsOf([=](int lane) { return p[index[lane]]; }, Lanes());
}

// Lanes l < kLanes of the result are p[index[l]]. Four indices come by one load, and four lanes
// are made each for themselves: the compiler does worse on the whole (Zen 4: 7.2 GFLOP/s
// for 8.4).
template <int kLanes>
NFCOMPILE_INLINE auto GatherLanes(const float* p, const uint16_t* index) {
  if constexpr (kLanes == 4) {
    typedef float Quad __attribute__((vector_size(16)));
    uint64_t four;
    __builtin_memcpy(&four, index, sizeof(four));
    return Quad{p[four & 0xffff], p[four >> 16 & 0xffff], p[four >> 32 & 0xffff],
                p[four >> 48]};
  } else {
    const auto low = GatherLanes<kLanes / 2>(p, index);
    const auto high = GatherLanes<kLanes / 2>(p, index + kLanes / 2);
    const auto join = [&]<int... kLane>(std::integer_sequence<int, kLane...>) {
      return __builtin_shufflevector(low, high, kLane...);
    };
    return join(std::make_integer_sequence<int, kLanes>());
  }
}

NFCOMPILE_INLINE Floats Gather(const float* p, const uint16_t* index) {
  return GatherLanes<kWidth>(p, index);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_SIMD_H_
