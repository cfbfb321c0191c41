#include "kernels/chain/chain_run.h"

#include <new>

#include "base/partition.h"
#include "base/spin_lock.h"

namespace nfcompile {

ChainRun::ChainRun(const Chain& chain, const ChainOperands& operands, Threads threads)
    : plan_(PlanChain(chain, operands.batch, operands.form, threads, operands.images)),
      items_(chain, operands, plan_) {
  if (!plan_.by_tile) {
    shared_ = std::make_unique<Workspace>(plan_.tile_bytes * plan_.tiles);
    return;
  }
  tiles_.emplace(plan_.tiles, plan_.workers);
}

void ChainRun::Work(int64_t share) noexcept {
  try {
    if (plan_.by_tile) {
      WorkOnTiles(share);
    } else {
      WorkInOrder();
    }
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

void ChainRun::WorkOnTiles(int64_t share) {
  const Workspace own(plan_.tile_bytes);  // before a tile is taken, since it may fail
  tiles_->Take(share, [&](int64_t tile) {
    for (size_t s = 0; s < plan_.steps.size(); ++s) items_.Run(s, tile, 0, own.data());
    completed_.fetch_add(1, std::memory_order_release);
  });
}

void ChainRun::WorkInOrder() {
  const std::vector<ChainStep>& steps = plan_.steps;
  size_t step = 0;
  for (bool first = true; true; first = false) {
    const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= plan_.items) return;
    if (first) came_.fetch_add(1, std::memory_order_relaxed);
    while (step + 1 < steps.size() && steps[step + 1].first_item <= item) ++step;
    WaitFor(steps[step].first_item);
    const int64_t index = item - steps[step].first_item;
    RunShared(step, index / steps[step].parts, index % steps[step].parts);
    completed_.fetch_add(1, std::memory_order_release);
  }
}

void ChainRun::WaitFor(int64_t items) const {
  SpinUntil([&] { return completed_.load(std::memory_order_acquire) >= items; });
}

// Counts as done also where it fails: others wait for it.
void ChainRun::RunShared(size_t step, int64_t tile, int64_t part) noexcept {
  try {
    items_.Run(step, tile, part, shared_->data() + tile * plan_.tile_bytes);
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

}  // namespace nfcompile
