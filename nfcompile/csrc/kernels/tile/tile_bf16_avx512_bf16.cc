// tile_bf16_avx512_bf16: pairs of columns through the dot product of bf16 pairs,
//
//   acc[t] += x[k, t] w[k] + x[k + 1, t] w[k + 1]        products exact, sums in fp32
//
// The two columns are interleaved in registers, once for all rows of a group. Of 32 batch rows
// the unpacking leaves the quarters 0 2 4 6 in one vector and 1 3 5 7 in the other, each
// quarter being 4 rows; sums stay so, and only stores put them in order.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/tile/tile_epilogue_simd.h"
#include "kernels/tile/tile_images_simd.h"
#include "kernels/tile/tile_kernels.h"
#include "kernels/tile/tile_norm_simd.h"
#include "kernels/tile/tile_pack_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
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

// The residual of the vectors of a strip, in the order of the sums.
template <int kVectors>
NFCOMPILE_INLINE void LoadResidual(const float* p, Floats (&residual)[kVectors]) {
  if constexpr (kVectors == 1) {
    residual[0] = Load(p);
  } else {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; v += 2) {
      const __m512 front = _mm512_loadu_ps(p + v * kWidth);
      const __m512 back = _mm512_loadu_ps(p + (v + 1) * kWidth);
      residual[v] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(front, back, 0x88));
      residual[v + 1] = reinterpret_cast<Floats>(_mm512_shuffle_f32x4(front, back, 0xdd));
    }
  }
}

template <int kVectors>
NFCOMPILE_INLINE void LoadResidual(const uint16_t* p, Floats (&residual)[kVectors]) {
  if constexpr (kVectors == 1) {
    residual[0] = Widen(p);
  } else {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; v += 2) {
      const __m512i bits = LoadBits(p + v * kWidth);
      const __m512i zero = _mm512_setzero_si512();
      residual[v] = reinterpret_cast<Floats>(_mm512_unpacklo_epi16(zero, bits));
      residual[v + 1] = reinterpret_cast<Floats>(_mm512_unpackhi_epi16(zero, bits));
    }
  }
}

template <int kVectors>
NFCOMPILE_INLINE void StoreInOrder(const TileOperands& operands, int64_t at,
                                   const Floats (&y)[kVectors]) {
  auto* wide = static_cast<float*>(operands.y) + at;
  auto* narrow = static_cast<uint16_t*>(operands.y) + at;
  if constexpr (kVectors == 1) {
    if (operands.y_is_float) return Store(wide, y[0]);
    const __m256bh bits = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(y[0]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(narrow), reinterpret_cast<__m256i>(bits));
  } else {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; v += 2) {
      const auto low = reinterpret_cast<__m512>(y[v]);
      const auto high = reinterpret_cast<__m512>(y[v + 1]);
      if (operands.y_is_float) {
        const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
        const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
        const auto a = reinterpret_cast<__m512i>(low);
        const auto b = reinterpret_cast<__m512i>(high);
        _mm512_storeu_si512(wide + v * kWidth, _mm512_permutex2var_epi64(a, front, b));
        _mm512_storeu_si512(wide + (v + 1) * kWidth, _mm512_permutex2var_epi64(a, back, b));
      } else {
        const auto bits = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
        const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
        _mm512_storeu_si512(narrow + v * kWidth, _mm512_permutexvar_epi64(order, bits));
      }
    }
  }
}

// kRows outputs for kVectors vectors of a tile of kTile batch rows, from vector `first` on.
template <int kRows, int kVectors, int64_t kTile>
NFCOMPILE_INLINE void RunStrip(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, int first, AnyNonZero& any) {
  constexpr int kWanted = 8 / (kRows * kVectors);
  constexpr int kChains = kWanted >= 4 ? 4 : kWanted >= 2 ? 2 : 1;
  Floats acc[kChains][kRows][kVectors] = {};
  const uint16_t* values = weights.values.Data(uint16_t()) + group.value;
  const int32_t* columns = weights.columns.data() + group.column;
  const auto* x = static_cast<const uint16_t*>(operands.x) + first * kWidth;
  const auto add = [&](Floats(&sums)[kRows][kVectors],
                       int32_t k) __attribute__((always_inline)) {
    __m512i pairs[kVectors];
    LoadPairs<kVectors>(x + columns[k] * kTile, x + columns[k + 1] * kTile, pairs);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i w = SplatPair(values + k * kRows + 2 * r);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = AddPairs(sums[r][v], pairs[v], w);
      }
    }
  };
  int32_t k = 0;
  for (; k + 2 * kChains <= group.count; k += 2 * kChains) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) add(acc[c], k + 2 * c);
  }
  for (; k < group.count; k += 2) add(acc[0], k);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const float* bias = operands.epilogue.bias;
    const Floats shift = Splat(bias == nullptr ? 0.0f : bias[group.row[r]]);
    const int64_t at = group.row[r] * operands.y_shape.row + first * kWidth;
    const int64_t beside = group.row[r] * operands.residual_shape.row + first * kWidth;
    Floats residual[kVectors] = {};
    if (operands.residual != nullptr && operands.residual_is_float) {
      LoadResidual<kVectors>(static_cast<const float*>(operands.residual) + beside, residual);
    } else if (operands.residual != nullptr) {
      LoadResidual<kVectors>(static_cast<const uint16_t*>(operands.residual) + beside,
                             residual);
    }
    Floats y[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Floats sum = acc[0][r][v];
#pragma GCC unroll 4
      for (int c = 1; c < kChains; ++c) sum += acc[c][r][v];
      y[v] = operands.residual == nullptr
                 ? Activate(operands.epilogue, sum + shift)
                 : ActivateWith(operands.epilogue, sum + shift, residual[v]);
      any.Add(y[v]);
    }
    StoreInOrder<kVectors>(operands, at, y);
  }
}

template <int kRows, int kVectors>
NFCOMPILE_INLINE void RunGroup(const TileWeights& weights, const TileOperands& operands,
                               const TileGroup& group, AnyNonZero& any) {
  // As many vectors at a time as the registers hold sums for.
  constexpr int kStrip = kRows * kVectors > 16 ? 16 / kRows : kVectors;
#pragma GCC unroll 2
  for (int first = 0; first < kVectors; first += kStrip) {
    RunStrip<kRows, kStrip, kVectors * kWidth>(weights, operands, group, first, any);
  }
}

template <int kVectors>
bool RunGroups(const TileWeights& weights, const TileOperands& operands, Range groups) {
  AnyNonZero any;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const TileGroup& group = weights.groups.data()[g];
    if (group.rows == 8) {
      RunGroup<8, kVectors>(weights, operands, group, any);
    } else if (group.rows == 4) {
      RunGroup<4, kVectors>(weights, operands, group, any);
    } else if (group.rows == 2) {
      RunGroup<2, kVectors>(weights, operands, group, any);
    } else {
      RunGroup<1, kVectors>(weights, operands, group, any);
    }
  }
  return any.Found();
}

bool RunTile(const TileWeights& weights, const TileOperands& operands, Range groups) {
  const int vectors = operands.x_shape.vectors;
  if (vectors == 1) return RunGroups<1>(weights, operands, groups);
  if (vectors == 2) return RunGroups<2>(weights, operands, groups);
  return RunGroups<4>(weights, operands, groups);
}

}  // namespace
}  // namespace avx512_bf16

const TileKernel tile_bf16_avx512_bf16 = {
    .name = "tile_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .precision = Precision::kBfloat16,
    .width = avx512_bf16::kWidth,
    .run = avx512_bf16::RunTile,
    .run_rows = nullptr,
    .run_generated = nullptr,
    .pack = avx512_bf16::PackTile<uint16_t>,
    .pack_float = avx512_bf16::PackTile<float>,
    .unpack = avx512_bf16::UnpackTile<uint16_t>,
    .unpack_float = avx512_bf16::UnpackTile<float>,
    .gather = avx512_bf16::GatherTile<uint16_t>,
    .gather_float = avx512_bf16::GatherTile<float>,
    .normalize = avx512_bf16::NormalizeTile<uint16_t>,
    .scatter = avx512_bf16::ScatterTile,
};

}  // namespace nfcompile
