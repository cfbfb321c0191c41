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
  const ResidualMode mode =
      operands.residual == nullptr ? ResidualMode::kAddBefore : epilogue.residual_mode;
  if (epilogue.activation == Activation::kNone) return mode != ResidualMode::kMultiply;
  return epilogue.activation == Activation::kRelu && mode == ResidualMode::kAddBefore;
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
        in_y_(operands.y_shape.row == kWidth) {
    const bool relu = operands.epilogue.activation == Activation::kRelu;
    const bool adds = in_code_ && operands.residual != nullptr;
    const bool vector_by_vector = operands.residual_shape.row == kWidth;
    head_ = adds && vector_by_vector ? Head::kRowAndSums : Head::kRow;
    started_ = adds && !vector_by_vector;
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

  const float* Residual(int64_t first) const {
    return static_cast<const float*>(operands_.residual) + first * operands_.residual_shape.row;
  }

  // The residual and the bias, for `rows` outputs from `first` on: row by row, since where the
  // residual lies in images a row is a piece of memory of its own.
  NFCOMPILE_INLINE void StartSums(const float* bias, int64_t first, int64_t rows) {
    const TileShape& shape = operands_.residual_shape;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = Residual(first + r);
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
    if (started_ && panels.begin == 0) StartSums(bias, first, rows);
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      const bool last = in_code_ && p + 1 == code_.panels();
      const Head head = p > 0 || started_ ? Head::kSums : head_;
      // What runs next is asked for meanwhile: it may come from memory.
      GeneratedRows::Ahead ahead(code_, p + 1 < panels.end ? b : b + 1,
                                 p + 1 < panels.end ? p + 1 : panels.begin, vectors_);
      for (int v = 0; v < vectors_; ++v) {
        const float* sums = head == Head::kRowAndSums
                                ? Residual(first) + v * operands_.residual_shape.vector
                                : Sums(first, v);
        const GeneratedRows::Ends ends{.head = head,
                                       .tail = last ? last_tail_ : Tail::kSums,
                                       .row = bias,
                                       .sums = sums,
                                       .to = last ? y + v * to.vector : Sums(first, v),
                                       .stride = to.row * static_cast<int64_t>(sizeof(float)),
                                       .taps = operands_.taps};
        ahead.FetchPart();
        const bool nonzero = code_.Run(b, p, x + v * operands_.x_shape.vector, ends);
        found_ |= last && nonzero;
      }
    }
    if (in_code_ || panels.end < code_.panels()) return;
    WithActivation(operands_.epilogue, [&](auto activate) {
      if (operands_.residual == nullptr) {
        return Finish(first, rows, y, [&](Floats sum, const float*) { return activate(sum); });
      }
      switch (operands_.epilogue.residual_mode) {
        case ResidualMode::kAddBefore:
          return Finish(first, rows, y, [&](Floats sum, const float* residual) {
            return activate(sum + Load(residual));
          });
        case ResidualMode::kAddAfter:
          return Finish(first, rows, y, [&](Floats sum, const float* residual) {
            return activate(sum) + Load(residual);
          });
        case ResidualMode::kMultiply:
          return Finish(first, rows, y, [&](Floats sum, const float* residual) {
            return activate(sum) * Load(residual);
          });
      }
    });
  }

  // value(sum, residual) of a block's sums, in the order in which they lie.
  template <typename Value>
  NFCOMPILE_INLINE void Finish(int64_t first, int64_t rows, float* y, Value value_of) {
    const TileShape& to = operands_.y_shape;
    const TileShape& beside = operands_.residual_shape;
    AnyNonZero any;
    for (int v = 0; v < vectors_; ++v) {
      const float* sums = Sums(first, v);
      // Never read where there is none.
      const float* residual =
          operands_.residual == nullptr ? sums : Residual(first) + v * beside.vector;
      for (int64_t r = 0; r < rows; ++r) {
        const Floats value = value_of(Load(sums + r * kWidth), residual + r * beside.row);
        any.Add(value);
        Store(y + r * to.row + v * to.vector, value);
      }
    }
    any_.Add(any);
  }

  const TileWeights& weights_;
  const TileOperands& operands_;
  const GeneratedRows& code_;
  const int vectors_;
  const bool in_code_;
  const bool in_y_;  // whether the rows of y are neighbours, so that sums can wait there
  Head head_;
  bool started_;  // whether sums are started from the residual before the code runs
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
