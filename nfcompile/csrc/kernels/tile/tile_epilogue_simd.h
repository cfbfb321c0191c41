// The epilogue of epilogue.h where lanes are batch rows: the bias has been added.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_

#include "kernels/element_simd.h"
#include "kernels/epilogue_simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// For vector v of output `row`, whose residual is read where there is one.
template <typename Element>
NFCOMPILE_INLINE Floats FinishTileVector(const TileOperands& operands, Floats sum, int64_t row,
                                         int v) {
  if (operands.residual == nullptr) return Activate(operands.epilogue, sum);
  const TileShape& shape = operands.residual_shape;
  const int64_t at = row * shape.row + v * shape.vector;
  const Floats residual =
      operands.residual_is_float
          ? Load(static_cast<const float*>(operands.residual) + at)
          : LoadElements(static_cast<const Element*>(operands.residual) + at);
  return ActivateWith(operands.epilogue, sum, residual);
}

template <typename Element>
NFCOMPILE_INLINE void StoreTileVector(const TileOperands& operands, int64_t at, Floats y) {
  if (operands.y_is_float) {
    Store(static_cast<float*>(operands.y) + at, y);
  } else {
    StoreElements(static_cast<Element*>(operands.y) + at, y);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
