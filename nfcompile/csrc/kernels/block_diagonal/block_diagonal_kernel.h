// Packed block-diagonal weights and the table of kernels that read them.
#ifndef NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_KERNEL_H_
#define NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_KERNEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/matmul.h"
#include "kernels/weight_array.h"

namespace nfcompile {

// Which index runs over the lanes of a vector.
enum class BlockLayout {
  // Rows of `period` interleaved blocks: lane l of vector v is row (v W + l) / period of block
  // (v W + l) % period. Groups are the blocks / period runs of interleaved blocks.
  kRows,
  // W neighbouring blocks. Groups are the blocks / W runs of blocks, the last one padded.
  kBlocks,
  // A whole number of interleaved runs in one vector: x is one load, then shuffled. Groups are
  // the vectors of y.
  kShuffle,
};

// How the columns of x get to the lanes.
enum class BlockInput {
  kInPlace,
  kTransposed,  // W blocks at a time, by transposes in registers
  kGathered,    // by a list
};

// One side (rows or columns) with the rule made explicit.
struct BlockIndex {
  int64_t stride = 0;          // of the rule, 0 where the list follows none
  std::vector<int32_t> index;  // [blocks * extent], -1 for padding
};

struct BlockDiagonalWeights {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t blocks = 0;
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  BlockLayout layout = BlockLayout::kRows;
  int64_t groups = 0;
  int64_t period = 1;   // kRows: interleaved blocks
  int64_t vectors = 0;  // kRows: vectors of output rows in a group
  int together = 1;     // columns that a lane takes at a time: 1, or 2 in bf16
  // Floats for the columns of a vector of blocks in kBlockMaxBatchRows rows of the batch.
  int64_t workspace_floats = 0;
  int64_t row_stride = 0;  // of the rule, where the side follows one
  int64_t col_stride = 0;
  BlockInput input = BlockInput::kInPlace;
  // By group; then [strip][c][lane], [r][c][lane] or [c][lane], where two columns are together
  // with [c / 2][lane][c % 2] in place of [c][lane].
  WeightArray values;
  // Lists, null where the side is read or written in place:
  // kRows [group][row or column], kBlocks [group][row or column][lane].
  AlignedArray<int32_t> rows;
  AlignedArray<int32_t> cols;
  AlignedArray<int32_t> shuffle;  // kShuffle: [c][lane], the lane of x
};

// One entry of the table. Computes the groups `groups` for batch rows `batch`. The workspace
// has `workspace_floats`, and as many for pairs where there are.
struct BlockDiagonalKernel {
  const char* name;
  Isa isa;
  int width;          // floats in a vector
  int strip_vectors;  // vectors of a strip
  void (*matrix)(const BlockDiagonalWeights& weights, const Operands& operands, Range batch,
                 Range groups, float* workspace);
};

// Upper bound of the batch rows that any kernel handles together.
constexpr int64_t kBlockMaxBatchRows = 16;

extern const BlockDiagonalKernel block_diagonal_f32_avx2;
extern const BlockDiagonalKernel block_diagonal_f32_avx512;
extern const BlockDiagonalKernel block_diagonal_f32_avx512_emulated;
// For weights whose columns are taken two together.
extern const BlockDiagonalKernel block_diagonal_bf16_avx512_bf16;

// Checks one side of `view` against `features`, and finds the rule that a list follows.
BlockIndex ResolveSide(const BlockDiagonalView& view, bool is_row);

// Takes `together` columns at a time where the layout can: see `together` of the result.
BlockDiagonalWeights PackBlockDiagonal(const BlockDiagonalView& view, const BlockIndex& rows,
                                       const BlockIndex& cols, int width, int strip_vectors,
                                       int together, Precision precision);

// The readable twin: plain loops over the lists.
std::unique_ptr<RowMatMul> MakeScalarBlockDiagonalMatMul(const BlockDiagonalView& weights,
                                                         BlockIndex rows, BlockIndex cols);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_BLOCK_DIAGONAL_BLOCK_DIAGONAL_KERNEL_H_
