// How one product is cut into independent tasks: batch tiles times row ranges.
//
// The cut depends on the shapes alone, never on the number of threads, and no sum is split, so
// results are the same bits on any machine with the same instruction set.
#ifndef NFCOMPILE_BASE_PARTITION_H_
#define NFCOMPILE_BASE_PARTITION_H_

#include <cstdint>

namespace nfcompile {

// Half-open range.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// What a family tells about its work.
struct Work {
  int64_t batch = 0;
  int64_t batch_tile = 1;      // rows of the batch that one pass over the weights serves
  int64_t macs_per_row = 0;    // multiply-adds for one row of the batch
  int64_t units = 1;           // output rows come in this many units that can be cut apart
  int64_t max_row_ranges = 1;  // more would repeat too much work per range
};

class Grid {
 public:
  // About `target_tasks` tasks, fewer where they would be too small to pay for a hand-over.
  Grid(const Work& work, int64_t target_tasks);

  int64_t tasks() const { return batch_tiles_ * row_ranges_; }
  int64_t row_ranges() const { return row_ranges_; }
  Range Batch(int64_t task) const;
  int64_t RowRange(int64_t task) const { return task % row_ranges_; }

 private:
  int64_t batch_;
  int64_t batch_step_;
  int64_t batch_tiles_;
  int64_t row_ranges_;
};

// Range number `part` of `parts` over units whose costs have the prefix sums cost[0..units],
// so that every part costs about the same.
Range BalancedRange(const int64_t* cost, int64_t units, int64_t part, int64_t parts);

// The same where all units cost the same.
Range EvenRange(int64_t units, int64_t part, int64_t parts);

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_PARTITION_H_
