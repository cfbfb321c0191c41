#include "kernels/matmul.h"

#include <utility>

namespace nfcompile {

MatMul MakeMatMul(std::unique_ptr<RowMatMul> rows, TileWeights tile, Isa isa) {
  MatMul matmul;
  matmul.in_features = tile.in_features;
  matmul.out_features = tile.out_features;
  matmul.rows = std::move(rows);
  matmul.tile_kernel = FindTileKernel(tile.values.precision(), isa);
  const bool wide = Fp32Isa(isa) == Isa::kAvx512;
  if (wide && tile.values.precision() == Precision::kFloat32) {
    matmul.half_kernel = FindTileKernel(tile.values.precision(), Isa::kAvx2);
  }
  matmul.tile = std::move(tile);
  return matmul;
}

}  // namespace nfcompile
