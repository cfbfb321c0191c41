// Chooses the layout of block-diagonal weights and packs them.
#include <algorithm>

#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal_kernel.h"

namespace nfcompile {
namespace {

class Packer {
 public:
  Packer(const BlockDiagonalView& view, const BlockIndex& rows, const BlockIndex& cols,
         int width, int strip_vectors, int together, Precision precision)
      : view_(view),
        rows_(rows),
        cols_(cols),
        width_(width),
        strip_vectors_(strip_vectors),
        together_(together),
        precision_(precision) {}

  BlockDiagonalWeights Pack() {
    w_.in_features = view_.in_features;
    w_.out_features = view_.out_features;
    w_.blocks = view_.blocks;
    w_.block_rows = view_.block_rows;
    w_.block_columns = view_.block_columns;
    w_.workspace_floats = kBlockMaxBatchRows * view_.block_columns * width_;
    w_.row_stride = rows_.stride;
    w_.col_stride = cols_.stride;
    Choose();
    const bool plain = w_.layout == BlockLayout::kBlocks ||
                       (w_.layout == BlockLayout::kRows && w_.period == 1);
    if (plain && view_.block_columns % together_ == 0) w_.together = together_;
    switch (w_.layout) {
      case BlockLayout::kRows:
        PackRows();
        break;
      case BlockLayout::kBlocks:
        PackBlocks();
        break;
      case BlockLayout::kShuffle:
        PackShuffle();
        break;
    }
    return std::move(w_);
  }

 private:
  // Whether the lanes of W neighbouring blocks are neighbours in memory.
  bool BlocksInPlace(const BlockIndex& side) const {
    return side.stride > 0 && side.stride % width_ == 0;
  }

  void Choose() {
    const int64_t stride = rows_.stride == cols_.stride ? rows_.stride : 0;
    const int64_t run = view_.block_rows * stride;  // outputs of one run of interleaved blocks
    const bool power_of_two = stride > 0 && (stride & (stride - 1)) == 0;
    if (BlocksInPlace(rows_)) {
      w_.layout = BlockLayout::kBlocks;
    } else if (power_of_two && stride > 1 && stride < width_ && run % width_ == 0) {
      w_.layout = BlockLayout::kRows;
      w_.period = stride;
    } else if (stride > 0 && view_.block_rows == view_.block_columns && run < width_ &&
               width_ % run == 0 && view_.out_features % width_ == 0 &&
               view_.in_features == view_.out_features && IsPowerOfTwo(view_.block_rows)) {
      w_.layout = BlockLayout::kShuffle;
    } else if (FillsLanes()) {
      w_.layout = BlockLayout::kRows;
    } else {
      w_.layout = BlockLayout::kBlocks;
    }
  }

  static bool IsPowerOfTwo(int64_t n) { return (n & (n - 1)) == 0; }

  // Whether the rows of one block fill vectors better than neighbouring blocks do.
  bool FillsLanes() const {
    const auto share = [&](int64_t n) {
      const int64_t padded = (n + width_ - 1) / width_ * width_;
      return static_cast<double>(n) / static_cast<double>(std::max<int64_t>(padded, 1));
    };
    return share(view_.block_rows) >= 0.6 || share(view_.block_rows) > share(view_.blocks);
  }

  // values[b, r, c], or zero outside and for padded columns, whatever the model stores there.
  float Value(int64_t b, int64_t r, int64_t c) const {
    if (b >= view_.blocks || r >= view_.block_rows) return 0.0f;
    if (cols_.index[b * view_.block_columns + c] < 0) return 0.0f;
    return view_.values[(b * view_.block_rows + r) * view_.block_columns + c];
  }

  static AlignedArray<int32_t> Copy(const std::vector<int32_t>& list) {
    AlignedArray<int32_t> copy(list.size());
    std::copy(list.begin(), list.end(), copy.data());
    return copy;
  }

  void PackRows() {
    const int64_t lanes = view_.block_rows * w_.period;
    w_.groups = view_.blocks / w_.period;
    w_.vectors = (lanes + width_ - 1) / width_;
    w_.values = WeightArray(w_.groups * w_.vectors * view_.block_columns * width_, precision_);
    size_t next = 0;
    for (int64_t g = 0; g < w_.groups; ++g) {
      for (int64_t first = 0; first < w_.vectors; first += strip_vectors_) {
        const int64_t end = std::min<int64_t>(first + strip_vectors_, w_.vectors);
        for (int64_t c = 0; c < view_.block_columns; c += w_.together) {
          for (int64_t l = first * width_; l < end * width_; ++l) {
            const int64_t b = g * w_.period + l % w_.period;
            for (int i = 0; i < w_.together; ++i) {
              w_.values.Set(next++, Value(b, l / w_.period, c + i));
            }
          }
        }
      }
    }
    if (w_.period > 1) return;
    if (rows_.stride != 1) w_.rows = Copy(rows_.index);
    if (cols_.stride == 1) return;
    if (BlocksInPlace(cols_) && view_.block_columns % width_ == 0) {
      w_.input = BlockInput::kTransposed;
    } else {
      w_.input = BlockInput::kGathered;
      w_.cols = Copy(cols_.index);
    }
  }

  void PackBlocks() {
    w_.groups = (view_.blocks + width_ - 1) / width_;
    w_.values =
        WeightArray(w_.groups * view_.block_rows * view_.block_columns * width_, precision_);
    size_t next = 0;
    for (int64_t g = 0; g < w_.groups; ++g) {
      for (int64_t r = 0; r < view_.block_rows; ++r) {
        for (int64_t c = 0; c < view_.block_columns; c += w_.together) {
          for (int64_t lane = 0; lane < width_; ++lane) {
            for (int i = 0; i < w_.together; ++i) {
              w_.values.Set(next++, Value(g * width_ + lane, r, c + i));
            }
          }
        }
      }
    }
    if (!BlocksInPlace(rows_)) w_.rows = LaneList(rows_.index, view_.block_rows);
    if (BlocksInPlace(cols_)) return;
    if (cols_.stride == 1 && view_.blocks % width_ == 0) {
      w_.input = BlockInput::kTransposed;
    } else {
      w_.input = BlockInput::kGathered;
      w_.cols = LaneList(cols_.index, view_.block_columns);
    }
  }

  AlignedArray<int32_t> LaneList(const std::vector<int32_t>& index, int64_t extent) const {
    AlignedArray<int32_t> list(w_.groups * extent * width_);
    for (int64_t i = 0; i < static_cast<int64_t>(list.size()); ++i) {
      const int64_t b = i / (extent * width_) * width_ + i % width_;
      const int64_t e = i / width_ % extent;
      list[i] = b < view_.blocks ? index[b * extent + e] : -1;
    }
    return list;
  }

  void PackShuffle() {
    const int64_t stride = rows_.stride;
    const int64_t run = view_.block_rows * stride;
    w_.groups = view_.out_features / width_;
    w_.values = WeightArray(w_.groups * view_.block_columns * width_, precision_);
    w_.shuffle = AlignedArray<int32_t>(view_.block_columns * width_);
    for (int64_t c = 0; c < view_.block_columns; ++c) {
      for (int64_t lane = 0; lane < width_; ++lane) {
        w_.shuffle[c * width_ + lane] =
            static_cast<int32_t>(lane / run * run + c * stride + lane % stride);
      }
    }
    size_t next = 0;
    for (int64_t g = 0; g < w_.groups; ++g) {
      for (int64_t c = 0; c < view_.block_columns; ++c) {
        for (int64_t lane = 0; lane < width_; ++lane) {
          const int64_t o = g * width_ + lane;
          w_.values.Set(next++, Value(o / run * stride + o % stride, o % run / stride, c));
        }
      }
    }
  }

  const BlockDiagonalView& view_;
  const BlockIndex& rows_;
  const BlockIndex& cols_;
  const int64_t width_;
  const int64_t strip_vectors_;
  const int together_;
  const Precision precision_;
  BlockDiagonalWeights w_;
};

}  // namespace

BlockDiagonalWeights PackBlockDiagonal(const BlockDiagonalView& view, const BlockIndex& rows,
                                       const BlockIndex& cols, int width, int strip_vectors,
                                       int together, Precision precision) {
  return Packer(view, rows, cols, width, strip_vectors, together, precision).Pack();
}

}  // namespace nfcompile
