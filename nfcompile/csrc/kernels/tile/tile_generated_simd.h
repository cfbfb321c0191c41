// Tiles through generated code: see generated/generated_rows.h.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
#define NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_

#include "kernels/tile/tile_epilogue_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int64_t kBlockSums = kGeneratedRows * kWidth;

// Whether what follows the sums is part of the code, but for the residual, which they start
// from.
NFCOMPILE_INLINE bool EndsInCode(const TileOperands& operands) {
  const Epilogue& epilogue = operands.epilogue;
  if (epilogue.activation == Activation::kNone) return true;
  const bool after = operands.residual != nullptr && epilogue.residual_after_activation;
  return epilogue.activation == Activation::kRelu && !after;
}

// One run on one tile.
class GeneratedRun {
 public:
  GeneratedRun(const TileWeights& weights, const TileOperands& operands)
      : weights_(weights),
        operands_(operands),
        code_(*weights.generated),
        vectors_(operands.x_shape.vectors),
        in_code_(EndsInCode(operands)),
        starts_from_sums_(in_code_ && operands.residual != nullptr),
        in_y_(operands.y_shape.row == kWidth) {
    const bool relu = operands.epilogue.activation == Activation::kRelu;
    last_tail_ = !in_code_ ? Tail::kSums : relu ? Tail::kRelu : Tail::kStore;
  }

  // Returns whether any output is not zero.
  bool Run(Range blocks) {
    const int64_t panels = code_.panels();
    // A panel of x stays in the cache for all blocks, where sums can wait in y.
    for (int64_t p = 0; p < (in_y_ ? panels : 1); ++p) {
      for (int64_t b = blocks.begin; b < blocks.end; ++b) {
        RunBlock(b, in_y_ ? Range{p, p + 1} : Range{0, panels});
      }
    }
    return found_ || any_.Found();
  }

 private:
  float* Sums(int64_t first, int v) {
    if (!in_y_) return sums_[v];
    return static_cast<float*>(operands_.y) + first * kWidth + v * operands_.y_shape.vector;
  }

  // The residual and the bias, for `rows` outputs from `first` on: row by row, since where the
  // residual lies in images a row is a piece of memory of its own.
  NFCOMPILE_INLINE void StartSums(const float* bias, int64_t first, int64_t rows) {
    const TileShape& shape = operands_.residual_shape;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from =
          static_cast<const float*>(operands_.residual) + (first + r) * shape.row;
      for (int v = 0; v < vectors_; ++v) {
        Store(Sums(first, v) + r * kWidth, Load(from + v * shape.vector) + Splat(bias[r]));
      }
    }
  }

  void RunBlock(int64_t b, Range panels) {
    static constexpr float kNoBias[kGeneratedRows] = {};
    const int64_t first = b * code_.block_rows();
    const int64_t left = weights_.out_features - first;
    const int64_t rows = left < code_.block_rows() ? left : code_.block_rows();
    const float* all = operands_.epilogue.bias;
    const float* bias = all == nullptr ? kNoBias : all + first;
    const auto* x = static_cast<const float*>(operands_.x);
    const TileShape& to = operands_.y_shape;
    float* y = static_cast<float*>(operands_.y) + first * to.row;
    if (starts_from_sums_ && panels.begin == 0) StartSums(bias, first, rows);
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      const bool last = in_code_ && p + 1 == code_.panels();
      const bool from_sums = p > 0 || starts_from_sums_;
      for (int v = 0; v < vectors_; ++v) {
        const GeneratedRows::Ends ends{.head = from_sums ? Head::kSums : Head::kRow,
                                       .tail = last ? last_tail_ : Tail::kSums,
                                       .from = from_sums ? Sums(first, v) : bias,
                                       .to = last ? y + v * to.vector : Sums(first, v),
                                       .stride = to.row * static_cast<int64_t>(sizeof(float)),
                                       .taps = operands_.taps};
        // What runs next is asked for meanwhile: it may come from memory.
        if (p + 1 < panels.end) {
          code_.Prefetch(b, p + 1, v, vectors_);
        } else {
          code_.Prefetch(b + 1, panels.begin, v, vectors_);
        }
        const bool nonzero = code_.Run(b, p, x + v * operands_.x_shape.vector, ends);
        found_ |= last && nonzero;
      }
    }
    if (in_code_ || panels.end < code_.panels()) return;
    for (int64_t r = 0; r < rows; ++r) {
      for (int v = 0; v < vectors_; ++v) {
        const Floats sum = Load(Sums(first, v) + r * kWidth);
        const Floats value = FinishTileVector<float>(operands_, sum, first + r, v);
        any_.Add(value);
        Store(y + r * to.row + v * to.vector, value);
      }
    }
  }

  const TileWeights& weights_;
  const TileOperands& operands_;
  const GeneratedRows& code_;
  const int vectors_;
  const bool in_code_;
  const bool starts_from_sums_;
  const bool in_y_;  // whether the rows of y are neighbours, so that sums can wait there
  Tail last_tail_;
  bool found_ = false;
  AnyNonZero any_;
  float sums_[kMaxTileVectors][kBlockSums] __attribute__((aligned(64)));
};

bool RunGenerated(const TileWeights& weights, const TileOperands& operands, Range blocks) {
  static_assert(kGeneratedLanes == kWidth);
  return GeneratedRun(weights, operands).Run(blocks);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_TILE_TILE_GENERATED_SIMD_H_
