// bsr_bf16_avx512_bf16: two columns of a block at a time. The rows of x are rounded first.
#define NFCOMPILE_ISA avx512_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/bsr/bsr_simd.h"
#include "kernels/pair_panel_simd.h"

namespace nfcompile {
namespace avx512_bf16 {
namespace {

constexpr int64_t kBatchRows = 16;

size_t WorkspaceFloats(const BsrWeights& weights) {
  return kBatchRows * RoundedStride(weights.in_features) * sizeof(uint16_t) / sizeof(float);
}

void BsrPairsTimesMatrix(const BsrWeights& weights, const Operands& operands, Range batch,
                         Range rows, float* workspace) {
  auto* rounded = reinterpret_cast<uint16_t*>(workspace);
  const int64_t in = weights.in_features;
  const int64_t stride = RoundedStride(in);
  RoundRows(operands.x + batch.begin * in, batch.size(), in, in, stride, rounded);
  RunBlockRows<PairPanel>(weights, operands, {rounded, stride}, batch, rows);
}

}  // namespace
}  // namespace avx512_bf16

const BsrKernel bsr_bf16_avx512_bf16 = {
    .name = "bsr_bf16_avx512_bf16",
    .isa = Isa::kAvx512Bf16,
    .width = avx512_bf16::kWidth,
    .strip_vectors = avx512_bf16::kPanelVectors,
    .columns = 2,
    .batch_rows = avx512_bf16::kBatchRows,
    .workspace_floats = avx512_bf16::WorkspaceFloats,
    .matrix = avx512_bf16::BsrPairsTimesMatrix,
};

}  // namespace nfcompile
