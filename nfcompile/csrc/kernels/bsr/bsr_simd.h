// The BSR kernel of one instruction set: panel_simd.h over the blocks of each block row.
#ifndef NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_
#define NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_

#include "kernels/bsr/bsr_kernel.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Rows o .. o + outputs of y for kRows batch rows from m on.
template <int kVectors, int kRows, typename Weight>
void BsrTile(const BsrWeights& weights, const Operands& operands, int64_t i, const Weight* w,
             int64_t m, int64_t o, int64_t outputs) {
  const int64_t begin = weights.indptr.data()[i];
  const int64_t blocks = weights.indptr.data()[i + 1] - begin;
  Floats acc[kRows][kVectors];
  AddPanel<kVectors, kRows, 1>(w, weights.starts.data() + begin, blocks, weights.block_columns,
                               operands.x + m * weights.in_features, weights.in_features, acc);
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = outputs - v * kWidth;
    const int lanes = left < kWidth ? static_cast<int>(left) : kWidth;
    const Floats bias = LoadBias(operands.epilogue, o + v * kWidth, lanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = (m + r) * weights.out_features + o + v * kWidth;
      FinishAndStore(operands.epilogue, acc[r][v], bias, operands.y, index, lanes);
    }
  }
}

template <typename Weight>
void RunBlockRows(const BsrWeights& weights, const Operands& operands, Range batch,
                  Range rows) {
  const int64_t block_floats = weights.block_columns * kWidth;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t begin = weights.indptr.data()[i];
    const int64_t blocks = weights.indptr.data()[i + 1] - begin;
    const Weight* w = weights.values.Data(Weight()) + begin * weights.vectors * block_floats;
    for (int64_t first = 0; first < weights.vectors; first += kPanelVectors) {
      const int64_t o = i * weights.block_rows + first * kWidth;
      const int64_t left = weights.vectors - first;
      const int vectors = left < kPanelVectors ? static_cast<int>(left) : kPanelVectors;
      const int64_t rows_left = weights.block_rows - first * kWidth;
      const int64_t outputs = rows_left < vectors * kWidth ? rows_left : vectors * kWidth;
      ForEachTile<kPanelRows>(batch, [&](int64_t m, auto count) {
        WithConstant<kPanelVectors>(vectors, [&](auto v) {
          BsrTile<decltype(v)::kValue, decltype(count)::kValue>(weights, operands, i, w, m, o,
                                                                outputs);
        });
      });
      w += blocks * vectors * block_floats;
    }
  }
}

void BsrTimesMatrix(const BsrWeights& weights, const Operands& operands, Range batch,
                    Range rows) {
  if (weights.values.precision() == Precision::kBfloat16) {
    RunBlockRows<uint16_t>(weights, operands, batch, rows);
  } else {
    RunBlockRows<float>(weights, operands, batch, rows);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_
