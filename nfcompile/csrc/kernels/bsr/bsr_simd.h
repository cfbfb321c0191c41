// The BSR kernel over panels: a `Panel` has the types of weights (Weight) and of x (Element),
// and adds up the blocks of a block row in registers, Add<vectors, rows>(...).
#ifndef NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_
#define NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_

#include "kernels/bsr/bsr_kernel.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Rows o .. o + outputs of y for kRows batch rows from m on.
template <typename Panel, int kVectors, int kRows>
void BsrTile(const BsrWeights& weights, const Operands& operands, int64_t i,
             const typename Panel::Weight* w, PanelInput<typename Panel::Element> input,
             int64_t m, int64_t o, int64_t outputs) {
  const int64_t begin = weights.indptr.data()[i];
  const int64_t blocks = weights.indptr.data()[i + 1] - begin;
  Floats acc[kRows][kVectors];
  Panel::template Add<kVectors, kRows>(w, weights.starts.data() + begin, blocks,
                                       weights.block_columns, input, acc);
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

// `input`: rows `batch` of x.
template <typename Panel>
void RunBlockRows(const BsrWeights& weights, const Operands& operands,
                  PanelInput<typename Panel::Element> input, Range batch, Range rows) {
  using Weight = typename Panel::Weight;
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
        const PanelInput<typename Panel::Element> from{
            input.x + (m - batch.begin) * input.stride, input.stride};
        WithConstant<kPanelVectors>(vectors, [&](auto v) {
          BsrTile<Panel, decltype(v)::kValue, decltype(count)::kValue>(weights, operands, i, w,
                                                                       from, m, o, outputs);
        });
      });
      w += blocks * vectors * block_floats;
    }
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BSR_BSR_SIMD_H_
