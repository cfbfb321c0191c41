// Block-diagonal products with output rows in the lanes (BlockLayout::kRows): the tile of
// panel_simd.h over the columns of one group.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_ROWS_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_ROWS_SIMD_H_

#include "kernels/block_diagonal/block_diagonal_kernel.h"
#include "kernels/epilogue_simd.h"
#include "kernels/panel_simd.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Cuts groups into chunks whose weights stay in the first-level cache while the rows of the
// batch pass by, and calls body(chunk).
template <typename Body>
NFCOMPILE_INLINE void ForEachChunk(Range groups, int64_t group_floats, Body body) {
  constexpr int64_t kChunkFloats = 4 << 10;
  const int64_t fitting = kChunkFloats / group_floats;
  // Whole vectors of groups, for those that are transposed together.
  const int64_t step = (fitting / kWidth + 1) * kWidth;
  for (int64_t g = groups.begin; g < groups.end; g += step) {
    body(Range{g, g + step < groups.end ? g + step : groups.end});
  }
}

// Scatters `lanes` outputs of batch row m, with the epilogue: y[m, index[lane]].
__attribute__((noinline)) void FinishAndScatter(const Operands& operands, int64_t out,
                                                int64_t m, const int32_t* index, int lanes,
                                                Floats acc) {
  float sums[kWidth];
  float biases[kWidth] = {};
  float residuals[kWidth] = {};
  const Epilogue& epilogue = operands.epilogue;
  for (int l = 0; l < lanes; ++l) {
    if (index[l] < 0) continue;
    if (epilogue.bias != nullptr) biases[l] = epilogue.bias[index[l]];
    if (epilogue.residual != nullptr) residuals[l] = epilogue.residual[m * out + index[l]];
  }
  Store(sums, Finish(epilogue, acc, Load(biases), Load(residuals)));
  float* y = operands.y + m * out;
  for (int l = 0; l < lanes; ++l) {
    if (index[l] >= 0) y[index[l]] = sums[l];
  }
}

// One strip of kVectors vectors for kRows batch rows from m on.
template <typename Panel, int kVectors, int kRows>
void RowsTile(const BlockDiagonalWeights& weights, const Operands& operands,
              const typename Panel::Weight* w, PanelInput<typename Panel::Element> input,
              int64_t m, int64_t group, int64_t first_vector) {
  const int32_t start = 0;
  const int64_t group_rows = weights.block_rows * Panel::kInterleaved;
  Floats acc[kRows][kVectors];
  Panel::template Add<kVectors, kRows>(w, &start, 1, weights.block_columns, input, acc);
  for (int v = 0; v < kVectors; ++v) {
    const int64_t row = (first_vector + v) * kWidth;
    const int lanes = group_rows - row < kWidth ? static_cast<int>(group_rows - row) : kWidth;
    if (weights.rows.data() != nullptr) {
      const int32_t* index = weights.rows.data() + group * group_rows + row;
      for (int r = 0; r < kRows; ++r) {
        FinishAndScatter(operands, weights.out_features, m + r, index, lanes, acc[r][v]);
      }
      continue;
    }
    const int64_t o = group * group_rows + row;
    const Floats bias = LoadBias(operands.epilogue, o, lanes);
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = (m + r) * weights.out_features + o;
      FinishAndStore(operands.epilogue, acc[r][v], bias, operands.y, index, lanes);
    }
  }
}

// Copies the columns of one group into the workspace, [m][c]; padding reads as zero.
NFCOMPILE_INLINE PanelInput<float> GatherRowsInput(const BlockDiagonalWeights& weights,
                                                   const Operands& operands, int64_t m,
                                                   int count, int64_t group, float* workspace) {
  const int64_t columns = weights.block_columns;
  const int32_t* index = weights.cols.data() + group * columns;
  for (int r = 0; r < count; ++r) {
    const float* x = operands.x + (m + r) * weights.in_features;
    float* to = workspace + r * columns;
    for (int64_t c = 0; c < columns; ++c) to[c] = index[c] < 0 ? 0.0f : x[index[c]];
  }
  return {workspace, columns};
}

// Copies the columns of groups `run`, neighbours in memory, into the workspace, [m][group][c].
NFCOMPILE_INLINE void TransposeRowsInput(const BlockDiagonalWeights& weights,
                                         const Operands& operands, int64_t m, int count,
                                         Range run, float* workspace) {
  const int64_t columns = weights.block_columns;
  const int64_t stride = weights.col_stride;
  const int64_t first = run.begin / stride * (columns * stride) + run.begin % stride;
  for (int r = 0; r < count; ++r) {
    const float* x = operands.x + (m + r) * weights.in_features + first;
    float* to = workspace + r * kWidth * columns;
    for (int64_t c = 0; c < columns; c += kWidth) {
      TransposeStrip(x + c * stride, stride, kWidth, run.size(), to + c, columns);
    }
  }
}

template <typename Panel, int kRows>
void RunRowsTile(const BlockDiagonalWeights& weights, const Operands& operands, int64_t m,
                 Range groups, float* workspace) {
  using Weight = typename Panel::Weight;
  const int64_t columns = weights.block_columns;
  const Weight* w =
      weights.values.Data(Weight()) + groups.begin * weights.vectors * columns * kWidth;
  float* prepared = workspace + (weights.together - 1) * weights.workspace_floats;
  Range run{groups.begin, groups.begin};  // of the groups that are transposed
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    PanelInput<float> wide{
        operands.x + m * weights.in_features + g * columns * Panel::kInterleaved,
        weights.in_features};
    if (weights.input == BlockInput::kGathered) {
      wide = GatherRowsInput(weights, operands, m, kRows, g, workspace);
    } else if (weights.input == BlockInput::kTransposed) {
      if (g == run.end) {
        const int64_t end = (g / kWidth + 1) * kWidth;
        run = {g, end < groups.end ? end : groups.end};
        TransposeRowsInput(weights, operands, m, kRows, run, workspace);
      }
      wide = {workspace + (g - run.begin) * columns, kWidth * columns};
    }
    const auto input = Panel::template Prepare<kRows>(wide, columns, prepared);
    for (int64_t v = 0; v < weights.vectors; v += kPanelVectors) {
      if (weights.vectors - v >= kPanelVectors) {
        RowsTile<Panel, kPanelVectors, kRows>(weights, operands, w, input, m, g, v);
        w += kPanelVectors * columns * kWidth;
      } else {
        RowsTile<Panel, 1, kRows>(weights, operands, w, input, m, g, v);
        w += columns * kWidth;
      }
    }
  }
}

template <typename Panel>
void RunRows(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
             Range groups, float* workspace) {
  static_assert(kPanelVectors == 2);
  ForEachChunk(groups, weights.vectors * weights.block_columns * kWidth, [&](Range chunk) {
    ForEachTile<kPanelRows>(batch, [&](int64_t m, auto count) {
      RunRowsTile<Panel, decltype(count)::kValue>(weights, operands, m, chunk, workspace);
    });
  });
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_ROWS_SIMD_H_
