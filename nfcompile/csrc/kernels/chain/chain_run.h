// One run of a chain, shared by the threads that come to work on it.
//
// Either an item is a whole chain on one tile, or the items of one layer follow those of the
// one before and wait until those are done. Of tiles each thread begins with a share of its
// own: between layers that run one after the other, what it writes then comes from its own
// cache or goes to memory that no other cache holds. Other items are taken in order; a thread
// that waits knows that another is computing. So any number of threads will do, one included,
// and results are the same bits for all of them.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/shares.h"
#include "base/workspace.h"
#include "kernels/chain/chain.h"
#include "kernels/chain/chain_items.h"
#include "kernels/chain/chain_plan.h"

namespace nfcompile {

class ChainRun {
 public:
  // Throws std::bad_alloc.
  ChainRun(const Chain& chain, const ChainOperands& operands, Threads threads);

  // How many threads can be of use; 1 where the work is too small to share.
  int64_t workers() const { return plan_.workers; }

  // Takes part until there is nothing left to take; never throws. `share`: which tiles to begin
  // with, a number of its own for each thread.
  void Work(int64_t share) noexcept;

  // Returns when everything is done that was taken, by any thread, after Work has returned.
  void WaitUntilDone() const { WaitFor(plan_.items); }

  // How many have found something to do.
  int64_t came() const { return tiles_ ? tiles_->came() : came_.load(); }

  // Whether a worker ran out of memory: the result is not complete then.
  bool out_of_memory() const { return out_of_memory_; }

 private:
  void WorkOnTiles(int64_t share);
  void WorkInOrder();
  void WaitFor(int64_t items) const;
  void RunShared(size_t step, int64_t tile, int64_t part) noexcept;
  const ChainPlan plan_;
  ChainItems items_;
  std::unique_ptr<Workspace> shared_;
  std::optional<Shares> tiles_;
  std::atomic<int64_t> next_ = 0;
  std::atomic<int64_t> completed_ = 0;
  std::atomic<int64_t> came_ = 0;
  std::atomic<bool> out_of_memory_ = false;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_
