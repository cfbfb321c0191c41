#include "base/partition.h"

#include <algorithm>

namespace nfcompile {
namespace {

// About 4 microseconds at 30 GFLOP/s: what waking a thread costs.
constexpr int64_t kMinMacsPerTask = 1 << 16;
constexpr int64_t kMaxTasks = 64;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

Grid::Grid(const Work& work, int64_t target_tasks) : batch_(work.batch) {
  const int64_t batch = std::max<int64_t>(work.batch, 1);
  const int64_t affordable =
      std::max<int64_t>(1, batch * std::max<int64_t>(work.macs_per_row, 1) / kMinMacsPerTask);
  const int64_t tasks = target_tasks <= 1 ? 1 : std::min(affordable, kMaxTasks);
  const int64_t tiles = CeilDiv(batch, work.batch_tile);
  batch_step_ = CeilDiv(tiles, std::min(tiles, tasks)) * work.batch_tile;
  batch_tiles_ = CeilDiv(batch, batch_step_);
  const int64_t ranges = std::min(tasks, target_tasks) / batch_tiles_;
  row_ranges_ = std::clamp<int64_t>(ranges, 1, std::min(work.max_row_ranges, work.units));
}

Range Grid::Batch(int64_t task) const {
  const int64_t begin = task / row_ranges_ * batch_step_;
  return {begin, std::min(begin + batch_step_, batch_)};
}

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
