// One run of attention, shared by the threads that come to work on it. An item is a head, or
// some queries of one where there are few heads. Each thread begins with a share of
// neighbouring items, and helps the others when it is done; the result is the same bits for any
// number.
#ifndef NFCOMPILE_KERNELS_ATTENTION_ATTENTION_RUN_H_
#define NFCOMPILE_KERNELS_ATTENTION_ATTENTION_RUN_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/shares.h"
#include "base/threads.h"
#include "kernels/attention/attention.h"

namespace nfcompile {

class AttentionRun {
 public:
  // Throws std::bad_alloc.
  AttentionRun(const Attention& attention, const AttentionKernel& kernel, Threads threads);

  // How many threads can be of use; 1 where the work is too small to share.
  int64_t workers() const { return items_->workers(); }

  // Takes part until there is nothing left to take; never throws. `share`: a number of its own
  // for each thread.
  void Work(int64_t share) noexcept;

  // How many have found something to do.
  int64_t came() const { return items_->came(); }

  // Whether a worker ran out of memory: the result is not complete then.
  bool out_of_memory() const { return out_of_memory_; }

 private:
  void RunItem(int64_t item, float* workspace) const;

  const Attention attention_;
  const AttentionKernel& kernel_;
  int64_t parts_ = 1;  // items of a head
  std::optional<Shares> items_;
  std::atomic<bool> out_of_memory_ = false;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_RUN_H_
