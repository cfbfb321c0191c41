// The epilogue of epilogue.h where lanes are batch rows.
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
  static NFCOMPILE_INLINE void LoadVectors(const T* p, int64_t vector, Floats (&to)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) to[v] = LoadElements(p + v * vector);
  }

  template <int kVectors, typename T>
  static NFCOMPILE_INLINE void StoreVectors(T* p, int64_t vector,
                                            const Floats (&from)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) StoreElements(p + v * vector, from[v]);
  }
};

// The end of a run on one tile, read once: as far as the compiler knows, a store could change
// all that the operands name.
template <typename Lanes>
class TileEpilogue {
 public:
  NFCOMPILE_INLINE explicit TileEpilogue(const TileOperands& operands)
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
        only_bounds_(bounds_.exact() &&
                     (residual_ == nullptr || AddsFirst(operands.epilogue))) {}

  // Ends and stores the sums of outputs `row` for kVectors vectors from `first` on.
  template <int kRows, int kVectors>
  NFCOMPILE_INLINE void Rows(const int32_t* row, int first,
                             const Floats (&sums)[kRows][kVectors], AnyNonZero& any) const {
    if (!only_bounds_) {
      Floats kept[kRows][kVectors];  // not the sums themselves, which stay in registers
      __builtin_memcpy(kept, sums, sizeof(kept));
      any.Add(AnyEpilogue<kVectors>(row, kRows, first, kept));
      return;
    }
    if (residual_ == nullptr) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        Floats t[kVectors];
        AddBias<kVectors>(row[r], sums[r], t);
        Bound<kVectors>(t);
        StoreRow<kVectors>(row[r], first, t, any);
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
      StoreRow<kVectors>(row[r], first, t, any);
    }
  }

 private:
  using Element = typename Lanes::Element;
  static constexpr bool kAlwaysFloat = sizeof(Element) == sizeof(float);
  static constexpr float kNoBias = 0.0f;

  // Whether adding the residual after the activation is adding it before.
  static bool AddsFirst(const Epilogue& epilogue) {
    return epilogue.residual_mode == ResidualMode::kAddBefore ||
           (epilogue.residual_mode == ResidualMode::kAddAfter &&
            epilogue.activation == Activation::kNone);
  }

  // Whatever the epilogue; a call, so that the usual ones stay short.
  template <int kVectors>
  __attribute__((noinline)) AnyNonZero AnyEpilogue(const int32_t* row, int rows, int first,
                                                   const Floats (*sums)[kVectors]) const {
    AnyNonZero any;  // a result, since an argument would have to lie in memory
    for (int r = 0; r < rows; ++r) {
      Floats t[kVectors];
      Floats residual[kVectors] = {};
      AddBias<kVectors>(row[r], sums[r], t);
      if (residual_ != nullptr) GetResidual<kVectors>(row[r], first, residual);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        t[v] = residual_ == nullptr ? Activate(operands_.epilogue, t[v])
                                    : ActivateWith(operands_.epilogue, t[v], residual[v]);
      }
      StoreRow<kVectors>(row[r], first, t, any);
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
      Lanes::template LoadVectors<kVectors>(static_cast<const float*>(residual_) + at, vector,
                                            to);
    } else {
      Lanes::template LoadVectors<kVectors>(static_cast<const Element*>(residual_) + at, vector,
                                            to);
    }
  }

  template <int kVectors>
  NFCOMPILE_INLINE void StoreRow(int64_t row, int first, const Floats (&t)[kVectors],
                                 AnyNonZero& any) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) any.Add(t[v]);
    const int64_t at = row * y_shape_.row + first * y_shape_.vector;
    if (kAlwaysFloat || y_is_float_) {
      Lanes::template StoreVectors<kVectors>(static_cast<float*>(y_) + at, y_shape_.vector, t);
    } else {
      Lanes::template StoreVectors<kVectors>(static_cast<Element*>(y_) + at, y_shape_.vector,
                                             t);
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
  const bool only_bounds_;  // after bias and residual
};

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
