// Block-diagonal products with neighbouring blocks in the lanes (BlockLayout::kBlocks):
//
//   y[m, row(b + lane, e)] = sum_c w[e, c][lane] x[m, col(b + lane, c)]
//
// Where a side follows a stride that is a multiple of the vector, its lanes are neighbours in
// memory and it is used in place; else it is gathered, or scattered, lane by lane.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCKS_SIMD_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCKS_SIMD_H_

#include "kernels/block_diagonal/rows_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Rows e of a tile; with few rows of the batch more of them hide the latency of the
// multiply-add.
template <int kRows>
constexpr int kElementsFor = kRows <= 2 ? 4 : 2;

// With this many rows a block's columns are read often enough to copy them together first:
// at power-of-two strides they would all fall into a few sets of the cache.
constexpr int64_t kMinRowsToStage = 8;

// Where a tile reads: x[m * row_stride + c * column_stride + lane], or of pairs
// x[m * row_stride + c / 2 * column_stride + 2 lane + c % 2].
template <typename Element>
struct LaneInput {
  const Element* x;
  int64_t row_stride;
  int64_t column_stride;
};

// Weights W, float or bf16, that are widened: [c][lane].
template <typename W>
struct WideLanes {
  using Weight = W;
  using Element = float;
  static constexpr bool kCopies = false;  // whether Prepare does

  template <int kElements, int kRows>
  static NFCOMPILE_INLINE void Add(const Weight* w, int64_t columns, LaneInput<float> input,
                                   Floats (&acc)[kElements][kRows]) {
    Floats sums[kElements][kRows] = {};  // acc itself would be cleared, and kept, in memory
    for (int64_t c = 0; c < columns; ++c) {
      Floats x[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        x[r] = Load(input.x + r * input.row_stride + c * input.column_stride);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kElements; ++i) {
        const Floats weight = LoadElements(w + (i * columns + c) * kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sums[i][r] += weight * x[r];
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kElements; ++i) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[i][r] = sums[i][r];
    }
  }

  template <int kRows>
  static NFCOMPILE_INLINE LaneInput<float> Prepare(LaneInput<float> input, int64_t, float*) {
    return input;
  }
};

NFCOMPILE_INLINE int64_t FirstOfRun(int64_t block, int64_t extent, int64_t stride) {
  return block / stride * (extent * stride) + block % stride;
}

template <typename Lanes, int kElements, int kRows>
NFCOMPILE_INLINE void BlocksTile(const BlockDiagonalWeights& weights, const Operands& operands,
                                 const typename Lanes::Weight* w,
                                 LaneInput<typename Lanes::Element> input, int64_t m,
                                 int64_t group, int64_t e) {
  Floats acc[kElements][kRows];
  Lanes::template Add<kElements, kRows>(w, weights.block_columns, input, acc);
  const int64_t b = group * kWidth;
#pragma GCC unroll 4
  for (int i = 0; i < kElements; ++i) {
    if (weights.rows.data() != nullptr) {
      const int32_t* index =
          weights.rows.data() + (group * weights.block_rows + e + i) * kWidth;
      for (int r = 0; r < kRows; ++r) {
        FinishAndScatter(operands, weights.out_features, m + r, index, kWidth, acc[i][r]);
      }
      continue;
    }
    const int64_t stride = weights.row_stride;
    const int64_t o = FirstOfRun(b, weights.block_rows, stride) + (e + i) * stride;
    const Floats bias = LoadBias(operands.epilogue, o, kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = (m + r) * weights.out_features + o;
      FinishAndStore(operands.epilogue, acc[i][r], bias, operands.y, index, kWidth);
    }
  }
}

// The columns of a group, [m][c][lane] in the workspace, or in place, as they stay where what
// comes next copies them.
NFCOMPILE_INLINE LaneInput<float> BlocksInput(const BlockDiagonalWeights& weights,
                                              const Operands& operands, int64_t m, int count,
                                              int64_t group, bool copied_next,
                                              float* workspace) {
  const int64_t in = weights.in_features;
  const int64_t columns = weights.block_columns;
  const int64_t stride = weights.col_stride;
  const float* x = operands.x + m * in;
  if (weights.input == BlockInput::kInPlace) {
    x += FirstOfRun(group * kWidth, columns, stride);
    if (copied_next || weights.block_rows < kMinRowsToStage) return {x, in, stride};
  }
  for (int r = 0; r < count; ++r) {
    const float* from = x + r * in;
    float* to = workspace + r * columns * kWidth;
    if (weights.input == BlockInput::kInPlace) {
      for (int64_t c = 0; c < columns; ++c) Store(to + c * kWidth, Load(from + c * stride));
    } else if (weights.input == BlockInput::kTransposed) {
      TransposeStrip(from + group * kWidth * columns, columns, kWidth, columns, to, kWidth);
    } else {
      const int32_t* index = weights.cols.data() + group * columns * kWidth;
      for (int64_t i = 0; i < columns * kWidth; ++i)
        to[i] = index[i] < 0 ? 0.0f : from[index[i]];
    }
  }
  return {workspace, columns * kWidth, kWidth};
}

template <typename Lanes, int kRows>
void RunBlocksTile(const BlockDiagonalWeights& weights, const Operands& operands, int64_t m,
                   Range groups, float* workspace) {
  using Weight = typename Lanes::Weight;
  constexpr int kElements = kElementsFor<kRows>;
  const int64_t element_floats = weights.block_columns * kWidth;
  const Weight* w =
      weights.values.Data(Weight()) + groups.begin * weights.block_rows * element_floats;
  float* prepared = workspace + (weights.together - 1) * weights.workspace_floats;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const auto input = Lanes::template Prepare<kRows>(
        BlocksInput(weights, operands, m, kRows, g, Lanes::kCopies, workspace),
        weights.block_columns, prepared);
    int64_t e = 0;
    for (; e + kElements <= weights.block_rows; e += kElements) {
      BlocksTile<Lanes, kElements, kRows>(weights, operands, w, input, m, g, e);
      w += kElements * element_floats;
    }
    for (; e < weights.block_rows; ++e) {
      BlocksTile<Lanes, 1, kRows>(weights, operands, w, input, m, g, e);
      w += element_floats;
    }
  }
}

template <typename Lanes>
void RunBlocks(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
               Range groups, float* workspace) {
  const int64_t group_floats = weights.block_rows * weights.block_columns * kWidth;
  ForEachChunk(groups, group_floats, [&](Range chunk) {
    ForEachTile<kPanelRows>(batch, [&](int64_t m, auto count) {
      RunBlocksTile<Lanes, decltype(count)::kValue>(weights, operands, m, chunk, workspace);
    });
  });
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCKS_SIMD_H_
