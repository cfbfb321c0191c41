#include "base/partition.h"

#include <algorithm>

namespace nfcompile {

Range BalancedRange(const int64_t* cost, int64_t units, int64_t part, int64_t parts) {
  const auto cut = [&](int64_t i) -> int64_t {
    if (i >= parts) return units;
    const int64_t target = cost[0] + (cost[units] - cost[0]) * i / parts;
    return std::lower_bound(cost, cost + units, target) - cost;
  };
  return {cut(part), cut(part + 1)};
}

Range EvenRange(int64_t units, int64_t part, int64_t parts) {
  return {units * part / parts, units * (part + 1) / parts};
}

}  // namespace nfcompile
