// The epilogue of epilogue.h where lanes are batch rows: the bias has been added.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/epilogue_simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Sums whose lanes are in the order of memory, in tiles of Element or float.
template <typename E>
struct LanesInOrder {
  using Element = E;

  template <int kVectors, typename T>
  static NFCOMPILE_INLINE void Get(const T* p, int64_t vector, Floats (&to)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) to[v] = LoadElements(p + v * vector);
  }

  template <int kVectors, typename T>
  static NFCOMPILE_INLINE void Put(T* p, int64_t vector, const Floats (&from)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) StoreElements(p + v * vector, from[v]);
  }
};

// The end of a run on one tile, read once: as far as the compiler knows, a store could change
// all that the operands name.
template <typename Lanes>
class TileEnding {
 public:
  NFCOMPILE_INLINE explicit TileEnding(const TileOperands& operands)
      : operands_(operands),
        bounds_(operands.epilogue),
        bias_(operands.epilogue.bias == nullptr ? &kNoBias : operands.epilogue.bias),
        bias_rows_(operands.epilogue.bias == nullptr ? 0 : -1),
        y_(operands.y),
        residual_(operands.residual),
        y_shape_(operands.y_shape),
        residual_shape_(operands.residual_shape),
        y_is_float_(operands.y_is_float),
        residual_is_float_(operands.residual_is_float),
        plain_(bounds_.exact() && (residual_ == nullptr || operands.epilogue.residual_mode ==
                                                               ResidualMode::kAddBefore)) {}

  // Ends and stores the sums of outputs `row` for kVectors vectors from `first` on.
  template <int kRows, int kVectors>
  NFCOMPILE_INLINE void Rows(const int32_t* row, int first,
                             const Floats (&sums)[kRows][kVectors], AnyNonZero& any) const {
    if (!plain_) {
      Floats kept[kRows][kVectors];  // not the sums themselves, which stay in registers
      __builtin_memcpy(kept, sums, sizeof(kept));
      any.Add(RowsAtLength<kRows, kVectors>(row, first, kept));
      return;
    }
    if (residual_ == nullptr) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        Floats t[kVectors];
        AddBias<kVectors>(row[r], sums[r], t);
        Bound<kVectors>(t);
        Put<kVectors>(row[r], first, t, any);
      }
      return;
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      Floats t[kVectors];
      Floats residual[kVectors];
      AddBias<kVectors>(row[r], sums[r], t);
      GetResidual<kVectors>(row[r], first, residual);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) t[v] += residual[v];
      Bound<kVectors>(t);
      Put<kVectors>(row[r], first, t, any);
    }
  }

 private:
  using Element = typename Lanes::Element;
  static constexpr bool kAlwaysFloat = sizeof(Element) == sizeof(float);
  static constexpr float kNoBias = 0.0f;

  // Whatever the epilogue: what costs more than a call.
  template <int kRows, int kVectors>
  __attribute__((noinline)) AnyNonZero
  RowsAtLength(const int32_t* row, int first, const Floats (&sums)[kRows][kVectors]) const {
    AnyNonZero any;  // a result, since an argument would have to lie in memory
    for (int r = 0; r < kRows; ++r) {
      Floats t[kVectors];
      Floats residual[kVectors] = {};
      AddBias<kVectors>(row[r], sums[r], t);
      if (residual_ != nullptr) GetResidual<kVectors>(row[r], first, residual);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        t[v] = residual_ == nullptr ? Activate(operands_.epilogue, t[v])
                                    : ActivateWith(operands_.epilogue, t[v], residual[v]);
      }
      Put<kVectors>(row[r], first, t, any);
    }
    return any;
  }

  template <int kVectors>
  NFCOMPILE_INLINE void AddBias(int64_t row, const Floats (&sums)[kVectors],
                                Floats (&t)[kVectors]) const {
    const Floats bias = Splat(bias_[row & bias_rows_]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) t[v] = sums[v] + bias;
  }

  template <int kVectors>
  NFCOMPILE_INLINE void Bound(Floats (&t)[kVectors]) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) t[v] = bounds_(t[v]);
  }

  template <int kVectors>
  NFCOMPILE_INLINE void GetResidual(int64_t row, int first, Floats (&to)[kVectors]) const {
    const int64_t vector = residual_shape_.vector;
    const int64_t at = row * residual_shape_.row + first * vector;
    if (kAlwaysFloat || residual_is_float_) {
      Lanes::template Get<kVectors>(static_cast<const float*>(residual_) + at, vector, to);
    } else {
      Lanes::template Get<kVectors>(static_cast<const Element*>(residual_) + at, vector, to);
    }
  }

  template <int kVectors>
  NFCOMPILE_INLINE void Put(int64_t row, int first, const Floats (&t)[kVectors],
                            AnyNonZero& any) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) any.Add(t[v]);
    const int64_t at = row * y_shape_.row + first * y_shape_.vector;
    if (kAlwaysFloat || y_is_float_) {
      Lanes::template Put<kVectors>(static_cast<float*>(y_) + at, y_shape_.vector, t);
    } else {
      Lanes::template Put<kVectors>(static_cast<Element*>(y_) + at, y_shape_.vector, t);
    }
  }

  const TileOperands& operands_;
  const Bounds bounds_;
  const float* const bias_;
  const int64_t bias_rows_;  // a mask: none where there is no bias
  void* const y_;
  const void* const residual_;
  const TileShape y_shape_;
  const TileShape residual_shape_;
  const bool y_is_float_;
  const bool residual_is_float_;
  const bool plain_;  // bias, residual and bounds are all
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
