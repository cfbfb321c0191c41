// Half-open ranges, and how to cut them.
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

// a / b, rounded up, for a >= 0 and b > 0.
constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Range number `part` of `parts` over units whose costs have the prefix sums cost[0..units],
// so that every part costs about the same.
Range BalancedRange(const int64_t* cost, int64_t units, int64_t part, int64_t parts);

// The same where all units cost the same.
Range EvenRange(int64_t units, int64_t part, int64_t parts);

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_PARTITION_H_
