// csr_bf16_avx512_bf16: two entries a lane through the dot product of bf16 pairs, products
// exact and sums in fp32. The rows of x are rounded to bf16 first.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/csr/csr_picks_simd.h"
#include "kernels/round_rows_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
namespace {

constexpr int64_t kColumns = 2 * kWidth;
// Rows of x at a time: at 2,048 columns they fill the first-level cache.
constexpr int kMaxRows = 8;

class PickTwo {
 public:
  using Element = uint16_t;

  NFCOMPILE_INLINE PickTwo(const CsrPicks& weights, int64_t step) {
    const uint8_t* place = weights.place.data() + step * kColumns;
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(place));
    busy_ = ~_mm256_movepi8_mask(bytes);
    place_ = _mm512_cvtepu8_epi16(bytes);
    value_ = _mm512_load_si512(weights.values.Data(uint16_t()) + step * kColumns);
  }

  NFCOMPILE_INLINE Floats Add(Floats sum, const uint16_t* x) const {
    const __m512i picked = _mm512_maskz_permutex2var_epi16(busy_, _mm512_load_si512(x), place_,
                                                           _mm512_load_si512(x + kColumns));
    return reinterpret_cast<Floats>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                     reinterpret_cast<__m512bh>(picked),
                                                     reinterpret_cast<__m512bh>(value_)));
  }

 private:
  __m512i value_;
  __m512i place_;
  __mmask32 busy_;
};

size_t WorkspaceFloats(const CsrPicks& weights) {
  return kMaxRows * weights.x_stride * sizeof(uint16_t) / sizeof(float);
}

void CsrPairsTimesRows(const CsrPicks& weights, const Operands& operands, Range rows,
                       float* workspace) {
  auto* rounded = reinterpret_cast<uint16_t*>(workspace);
  ForEachTile<kMaxRows>({0, operands.batch}, [&](int64_t m, auto count) {
    constexpr int kRows = decltype(count)::kValue;
    const int64_t in = weights.in_features;
    RoundRows(operands.x + m * in, kRows, in, in, weights.x_stride, rounded);
    RunPicks<PickTwo, kRows>(weights, operands, m, rounded, rows);
  });
}

}  // namespace
}  // namespace avx512_bf16

const CsrPickKernel csr_picks_avx512_bf16 = {
    .name = "csr_picks_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .entries = 2,
    .most_stored = 4,
    .max_batch = 8,
    .workspace_floats = avx512_bf16::WorkspaceFloats,
    .run = avx512_bf16::CsrPairsTimesRows,
};

}  // namespace nfcompile
