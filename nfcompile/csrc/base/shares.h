// Items dealt out to threads: each begins with neighbouring ones of its own, so that what it
// writes comes from its own cache, and helps the others when it is done.
#ifndef NFCOMPILE_BASE_SHARES_H_
#define NFCOMPILE_BASE_SHARES_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/partition.h"

namespace nfcompile {

class Shares {
 public:
  Shares() = default;
  Shares(int64_t items, int64_t workers) : shares_(workers) {
    for (int64_t i = 0; i < workers; ++i) {
      const Range range = EvenRange(items, i, workers);
      shares_[i].next = range.begin;
      shares_[i].end = range.end;
    }
  }

  int64_t workers() const { return static_cast<int64_t>(shares_.size()); }

  // How many threads have found something to take.
  int64_t came() const { return came_; }

  // Calls run(item) for what is still to be taken. `share`: a number of its own for each
  // thread.
  template <typename Run>
  void Take(int64_t share, Run run) {
    bool first = true;
    for (int64_t i = 0; i < workers(); ++i) {
      Share& items = shares_[(share + i) % workers()];
      while (true) {
        const int64_t item = items.next.fetch_add(1, std::memory_order_relaxed);
        if (item >= items.end) break;
        if (first) came_.fetch_add(1, std::memory_order_relaxed);
        first = false;
        run(item);
      }
    }
  }

 private:
  // Items that are still to be taken.
  struct alignas(64) Share {
    std::atomic<int64_t> next = 0;
    int64_t end = 0;
  };

  std::vector<Share> shares_;
  std::atomic<int64_t> came_ = 0;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_SHARES_H_
