// Unstructured weights as code: for a block of output rows, the multiply-adds of its non-zeros
// one after the other.
//
//   sums[r, t] += sum over k of values[r, k] xt[k, t]        r < 28, t < 16, k in one panel
//
// The sums of the block stay in registers, whose numbers are part of the instructions, and each
// vector of x is loaded once for all rows that read it: about one load of x for three
// multiply-adds at density 0.10, where a loop over the entries of a row (tile_rows.h) loads x
// for each of them. (Zen 4, density 0.10, GFLOP/s of a peak of 118, transposes included, code
// against table at batch 64, 256 and 2048: 75, 78, 75 against 71, 71, 66 at 768 x 768; at batch
// 256 and 2048 75, 84 against 72, 73 at 2048 x 2048: `python benchmarks/kernels.py csr`. At
// density 0.05, before code was kept from there, 48, 53, 55 against 56, 58, 60 at batch 64, 256
// and 1024.)
//
// Code is read once for each tile, 14 bytes an entry with its value, where the table has 6. So
// tiles are wide, the piece that runs next is asked for ahead of time, and code that does not
// stay in the second-level cache is left to tiles of several vectors. (Two vectors at a time
// for 14 rows, which would load less for each multiply-add, is slower by 40 %: instructions are
// what is scarce then.)
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
// Entries of what runs on one tile after the other whose code stays in a second-level cache.
constexpr int64_t kMostGenerated = 1 << 16;

// An entry of the weight.
struct Entry {
  int32_t row = 0;
  int32_t column = 0;  // of x
  float value = 0;
  int32_t tap = 0;
};

// How x lies: columns at a fixed distance. What an entry reads of its column may begin at a
// place that is given when the code runs, a tap.
struct Columns {
  int64_t count = 0;
  int64_t distance = kGeneratedLanes;  // floats
  int64_t panel = 384;                 // of one piece: with the code, they fit a cache
  int64_t taps = 0;                    // 0: all columns are read from their beginning
};

// What the sums of a block start from: one float for all lanes of a row, or 16, or both.
enum class Head { kRow, kSums, kRowAndSums };

// What becomes of them: sums [28, 16], or y, row by row at any distance, as they are or after
// ReLU.
enum class Tail { kSums, kStore, kRelu };

class GeneratedRows {
 public:
  // `entries` in ascending order of rows. Null where code cannot be made executable.
  static std::shared_ptr<const GeneratedRows> Make(const std::vector<Entry>& entries,
                                                   int64_t out_features,
                                                   const Columns& columns);

  // The code alone, for tests on any machine.
  static std::vector<uint8_t> Code(const std::vector<Entry>& entries, int64_t out_features,
                                   const Columns& columns);

  // Rows of a block, all but the last, where there are this many outputs: even ones.
  static int64_t BlockRows(int64_t out_features);

  // Blocks of rows, the units of work; the last one may have fewer rows.
  int64_t blocks() const { return blocks_; }
  int64_t block_rows() const { return block_rows_; }
  int64_t panels() const { return panels_; }

  // Entries of a block.
  int64_t entries(int64_t block) const;

  // Where a run starts from and what it gives.
  struct Ends {
    Head head = Head::kRow;
    Tail tail = Tail::kSums;
    const float* row = nullptr;   // [28]
    const float* sums = nullptr;  // [28, 16]
    float* to = nullptr;
    int64_t stride = 0;  // bytes between the rows of y
    const int64_t* taps = nullptr;
  };

  // What a piece reads, to be asked for ahead of its run, part by part.
  class Ahead {
   public:
    __attribute__((always_inline)) Ahead() = default;
    __attribute__((always_inline)) Ahead(const GeneratedRows& rows, int64_t block,
                                         int64_t panel, int64_t parts) {
      if (block >= rows.blocks_) return;
      const Piece* piece = rows.pieces_.data() + block * rows.panels_ + panel;
      code_ = {rows.code_->data() + piece[0].code, piece[1].code - piece[0].code, parts};
      values_ = {reinterpret_cast<const uint8_t*>(rows.values_.data() + piece[0].value),
                 (piece[1].value - piece[0].value) * static_cast<int64_t>(sizeof(float)),
                 parts};
    }

    __attribute__((always_inline)) void FetchPart() {
      code_.FetchPart();
      values_.FetchPart();
    }

   private:
    struct Bytes {
      __attribute__((always_inline)) Bytes() = default;
      __attribute__((always_inline)) Bytes(const uint8_t* data, int64_t size, int64_t parts)
          : next(data), end(data + size), part((size / kLine / parts + 1) * kLine) {}

      __attribute__((always_inline)) void FetchPart() {
        const uint8_t* stop = end - next < part ? end : next + part;
        for (; next < stop; next += kLine) asm volatile("prefetcht1 %0" : : "m"(*next));
      }

      static constexpr int64_t kLine = 64;
      const uint8_t* next = nullptr;
      const uint8_t* end = nullptr;
      int64_t part = 0;
    };

    Bytes code_;
    Bytes values_;
  };

  // One panel of one block: x as its columns say, 16 floats of each (or of each tap). Returns
  // whether any of y is neither 0 nor -0; of sums, nothing that means something.
  bool Run(int64_t block, int64_t panel, const float* x, const Ends& ends) const {
    using Function = uint32_t (*)(const float* x, const uint8_t* piece, float* to,
                                  const float* from, int64_t stride, const uint8_t* tail,
                                  const int64_t* taps, const float* sums);
    const Shared& shared = shared_[block + 1 == blocks_ ? 1 : 0];
    const uint8_t* code = code_->data();
    const auto function =
        reinterpret_cast<Function>(code + shared.head[static_cast<int>(ends.head)]);
    return function(x + panel * panel_floats_, code + pieces_[block * panels_ + panel].code,
                    ends.to, ends.head == Head::kSums ? ends.sums : ends.row, ends.stride,
                    code + shared.tail[static_cast<int>(ends.tail)], ends.taps, ends.sums) != 0;
  }

 private:
  // Lays everything out but what executes it.
  std::vector<uint8_t> Emit(const std::vector<Entry>& entries, int64_t out_features,
                            const Columns& columns);

  // The code of one block for one panel, and where its values begin.
  struct Piece {
    int64_t code = 0;
    int64_t value = 0;
  };
  // The code that all blocks of one number of rows share.
  struct Shared {
    int64_t head[3] = {};
    int64_t tail[3] = {};
  };

  int64_t blocks_ = 0;
  int64_t block_rows_ = 0;
  int64_t panels_ = 0;
  int64_t panel_floats_ = 0;   // from one panel to the next
  Shared shared_[2];           // of a whole block, and of the last one
  std::vector<Piece> pieces_;  // [block, panel], and one behind
  AlignedArray<float> values_;
  std::unique_ptr<Executable> code_;
};

// Whether `NFCOMPILE_GENERATE` allows code to be generated: it does unless it is 0.
bool MayGenerate();

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_GENERATED_GENERATED_ROWS_H_
