// csr_picks.h in fp32: one entry a lane and step, x read as it lies. Values may be bf16.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_PICKS_F32_SIMD_H_
#define NFCOMPILE_KERNELS_CSR_CSR_PICKS_F32_SIMD_H_

#include "kernels/csr/csr_picks_simd.h"
#include "kernels/element_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

template <typename Weight>
class PickOne {
 public:
  using Element = float;

  NFCOMPILE_INLINE PickOne(const CsrPicks& weights, int64_t step) {
    const uint8_t* place = weights.place.data() + step * kWidth;
    value_ = LoadElements(weights.values.Data(Weight()) + step * kWidth);
#if defined(__AVX512F__)
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(place));
    busy_ = static_cast<__mmask16>(~_mm_movepi8_mask(bytes));
    place_ = _mm512_cvtepu8_epi32(bytes);
#else
    place_ = place;
#endif
  }

  NFCOMPILE_INLINE Floats Add(Floats sum, const float* x) const {
#if defined(__AVX512F__)
    const Floats picked = reinterpret_cast<Floats>(_mm512_maskz_permutex2var_ps(
        busy_, _mm512_loadu_ps(x), place_, _mm512_loadu_ps(x + kWidth)));
#else
    const Floats picked = FloatsOf(
        [&](int lane) { return place_[lane] == kIdle ? 0.0f : x[place_[lane]]; }, Lanes());
#endif
    return sum + picked * value_;
  }

 private:
  Floats value_;
#if defined(__AVX512F__)
  __m512i place_;
  __mmask16 busy_;
#else
  const uint8_t* place_;
#endif
};

template <typename Weight>
void RunPicksOf(const CsrPicks& weights, const Operands& operands, Range rows) {
  constexpr int kMaxRows = 4;
  ForEachTile<kMaxRows>({0, operands.batch}, [&](int64_t m, auto count) {
    const float* x = operands.x + m * weights.in_features;
    RunPicks<PickOne<Weight>, decltype(count)::kValue>(weights, operands, m, x, rows);
  });
}

void CsrPicksTimesRows(const CsrPicks& weights, const Operands& operands, Range rows, float*) {
  if (weights.values.precision() == Precision::kBfloat16) {
    RunPicksOf<uint16_t>(weights, operands, rows);
  } else {
    RunPicksOf<float>(weights, operands, rows);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_CSR_CSR_PICKS_F32_SIMD_H_
