// Unstructured weights as code: for a block of output rows, the multiply-adds of its non-zeros
// one after the other.
//
//   sums[r, t] += sum over k of values[r, k] xt[k, t]        r < 28, t < 16, k in one panel
//
// The sums of the block stay in registers, whose numbers are part of the instructions, and each
// vector of x is loaded once for all rows that read it: about one load of x for three
// multiply-adds at density 0.10, where a loop over the entries of a row loads x for each of
// them. (Zen 4, 2048 x 2048 at density 0.10, 64 batch rows: 94 GFLOP/s of 118; the loop 50.)
#ifndef NFCOMPILE_KERNELS_GENERATED_GENERATED_ROWS_H_
#define NFCOMPILE_KERNELS_GENERATED_GENERATED_ROWS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/generated/executable.h"

namespace nfcompile {

constexpr int64_t kGeneratedRows = 28;  // of 32 registers; the others hold x
constexpr int64_t kGeneratedLanes = 16;

// An entry of the weight.
struct Entry {
  int32_t row = 0;
  int32_t column = 0;
  float value = 0;
};

class GeneratedRows {
 public:
  // `entries` in ascending order of rows. Null where code cannot be made executable.
  static std::shared_ptr<const GeneratedRows> Make(const std::vector<Entry>& entries,
                                                   int64_t out_features, int64_t in_features);

  // Blocks of rows, the units of work; the last one may have fewer rows.
  int64_t blocks() const { return blocks_; }
  int64_t panels() const { return panels_; }

  // Entries of a block.
  int64_t entries(int64_t block) const;

  // Adds the products of one panel: x [in_features, 16], sums [28, 16], both 64-byte aligned.
  void Run(int64_t block, int64_t panel, const float* x, float* sums) const {
    const Piece& piece = pieces_[block * panels_ + panel];
    using Function = void (*)(const float*, const float*, float*);
    const auto function = reinterpret_cast<Function>(code_->data() + piece.code);
    function(x + panel * panel_columns_ * kGeneratedLanes, values_.data() + piece.value, sums);
  }

 private:
  // The code of one block for one panel, and where its values begin.
  struct Piece {
    int64_t code = 0;
    int64_t value = 0;
  };

  int64_t blocks_ = 0;
  int64_t panels_ = 0;
  int64_t panel_columns_ = 0;
  std::vector<Piece> pieces_;  // [block, panel], and one behind
  AlignedArray<float> values_;
  std::unique_ptr<Executable> code_;
};

// Whether `NFCOMPILE_GENERATE` allows code to be generated: it does unless it is 0.
bool MayGenerate();

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_GENERATED_GENERATED_ROWS_H_
