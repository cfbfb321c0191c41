// The BSR kernel of one instruction set in fp32: panel_simd.h over the blocks of each block
// row.
#ifndef NFCOMPILE_KERNELS_BSR_BSR_F32_SIMD_H_
#define NFCOMPILE_KERNELS_BSR_BSR_F32_SIMD_H_

#include "kernels/bsr/bsr_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

void BsrTimesMatrix(const BsrWeights& weights, const Operands& operands, Range batch,
                    Range rows, float*) {
  const int64_t in = weights.in_features;
  const PanelInput<float> input{operands.x + batch.begin * in, in};
  if (weights.values.precision() == Precision::kBfloat16) {
    RunBlockRows<WidePanel<uint16_t, 1>>(weights, operands, input, batch, rows);
  } else {
    RunBlockRows<WidePanel<float, 1>>(weights, operands, input, batch, rows);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BSR_BSR_F32_SIMD_H_
