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

constexpr int kBlocksRows = 4;      // batch rows of a tile
constexpr int kBlocksElements = 4;  // rows e of a tile
// With this many rows a block's columns are read often enough to copy them together first:
// at power-of-two strides they would all fall into a few sets of the cache.
constexpr int64_t kMinRowsToStage = 3 * kBlocksElements;

// Where a tile reads: x[m * row_stride + c * column_stride + lane].
struct LaneInput {
  const float* x;
  int64_t row_stride;
  int64_t column_stride;
};

NFCOMPILE_INLINE int64_t FirstOfRun(int64_t block, int64_t extent, int64_t stride) {
  return block / stride * (extent * stride) + block % stride;
}

template <int kElements, int kRows>
NFCOMPILE_INLINE void BlocksTile(const BlockDiagonalWeights& weights, const Operands& operands,
                                 const float* w, LaneInput input, int64_t m, int64_t group,
                                 int64_t e) {
  const int64_t columns = weights.block_columns;
  Floats acc[kElements][kRows] = {};
  for (int64_t c = 0; c < columns; ++c) {
    Floats x[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      x[r] = Load(input.x + r * input.row_stride + c * input.column_stride);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kElements; ++i) {
      const Floats weight = Load(w + (i * columns + c) * kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) acc[i][r] += weight * x[r];
    }
  }
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
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int64_t index = (m + r) * weights.out_features + o;
      FinishAndStore(operands.epilogue, acc[i][r], bias, operands.y, index, kWidth);
    }
  }
}

// The columns of a group, [m][c][lane] in the workspace, or in place.
NFCOMPILE_INLINE LaneInput BlocksInput(const BlockDiagonalWeights& weights,
                                       const Operands& operands, int64_t m, int count,
                                       int64_t group, float* workspace) {
  const int64_t columns = weights.block_columns;
  const int64_t stride = weights.col_stride;
  const LaneInput staged{workspace, columns * kWidth, kWidth};
  if (weights.cols.data() == nullptr) {
    const int64_t first = FirstOfRun(group * kWidth, columns, stride);
    const float* x = operands.x + m * weights.in_features + first;
    if (weights.block_rows < kMinRowsToStage) return {x, weights.in_features, stride};
    for (int r = 0; r < count; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        Store(workspace + (r * columns + c) * kWidth,
              Load(x + r * weights.in_features + c * stride));
      }
    }
    return staged;
  }
  const int32_t* index = weights.cols.data() + group * columns * kWidth;
  for (int r = 0; r < count; ++r) {
    const float* x = operands.x + (m + r) * weights.in_features;
    float* to = workspace + r * columns * kWidth;
    for (int64_t i = 0; i < columns * kWidth; ++i) to[i] = index[i] < 0 ? 0.0f : x[index[i]];
  }
  return staged;
}

template <int kRows>
void RunBlocksTile(const BlockDiagonalWeights& weights, const Operands& operands, int64_t m,
                   int64_t group, float* workspace) {
  const LaneInput input = BlocksInput(weights, operands, m, kRows, group, workspace);
  const int64_t element_floats = weights.block_columns * kWidth;
  const float* w = weights.values.data() + group * weights.block_rows * element_floats;
  int64_t e = 0;
  for (; e + kBlocksElements <= weights.block_rows; e += kBlocksElements) {
    BlocksTile<kBlocksElements, kRows>(weights, operands, w, input, m, group, e);
    w += kBlocksElements * element_floats;
  }
  for (; e + 2 <= weights.block_rows; e += 2) {
    BlocksTile<2, kRows>(weights, operands, w, input, m, group, e);
    w += 2 * element_floats;
  }
  if (e < weights.block_rows) {
    BlocksTile<1, kRows>(weights, operands, w, input, m, group, e);
  }
}

void RunBlocks(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
               Range groups, float* workspace) {
  // The widest tile of 4 elements x 4 rows needs more than 16 registers.
  constexpr int kRows = kWidth == 16 ? kBlocksRows : kBlocksRows - 1;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    ForEachTile<kRows>(batch.size(), [&](int64_t tile, int count) {
      WithConstant<kRows>(count, [&](auto r) {
        RunBlocksTile<decltype(r)::kValue>(weights, operands, batch.begin + tile, g, workspace);
      });
    });
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCKS_SIMD_H_
