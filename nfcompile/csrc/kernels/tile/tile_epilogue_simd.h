// The epilogue of epilogue.h where lanes are batch rows: the bias has been added.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_

#include "kernels/epilogue_simd.h"
#include "kernels/tile/tile.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

NFCOMPILE_INLINE Floats FinishTileVector(const TileOperands& operands, Floats sum,
                                         Floats residual) {
  if (operands.epilogue.residual_after_activation) {
    return Activate(operands.epilogue, sum) + residual;
  }
  return Activate(operands.epilogue, sum + residual);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_EPILOGUE_SIMD_H_
