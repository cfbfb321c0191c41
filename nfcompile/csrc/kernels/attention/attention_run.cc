#include "kernels/attention/attention_run.h"

#include <algorithm>
#include <new>

#include "base/workspace.h"

namespace nfcompile {
namespace {

// About six microseconds: less is not worth waking a thread, and waiting for it.
constexpr int64_t kMinMacsPerThread = 1 << 18;
// So that a thread that is held up delays the others by little.
constexpr int64_t kItemsPerThread = 4;

}  // namespace

AttentionRun::AttentionRun(const Attention& attention, const AttentionKernel& kernel,
                           Threads threads)
    : attention_(attention), kernel_(kernel) {
  const int64_t heads = attention.batch * attention.heads;
  const int64_t blocks = CeilDiv(attention.queries, kAttentionQueries);
  const int64_t macs =
      heads * attention.queries * attention.keys * (attention.size + attention.value_size);
  const int64_t worth = std::max<int64_t>(macs / kMinMacsPerThread, 1);
  const int64_t likely = std::min(worth, threads.likely);
  if (heads == 0 || blocks == 0) {
    shares_ = std::vector<Share>(1);
    return;
  }
  if (likely > 1) parts_ = std::min(CeilDiv(likely * kItemsPerThread, heads), blocks);
  const int64_t items = heads * parts_;
  shares_ = std::vector<Share>(std::min({worth, threads.most, items}));
  for (int64_t i = 0; i < workers(); ++i) {
    const Range range = EvenRange(items, i, workers());
    shares_[i].next = range.begin;
    shares_[i].end = range.end;
  }
}

void AttentionRun::Work(int64_t share) noexcept {
  try {
    WorkOnShares(share);
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

void AttentionRun::WorkOnShares(int64_t share) {
  const Workspace own(AttentionSizes(attention_).all() * sizeof(float));  // before it takes one
  bool first = true;
  for (int64_t i = 0; i < workers(); ++i) {
    Share& items = shares_[(share + i) % workers()];
    while (true) {
      const int64_t item = items.next.fetch_add(1, std::memory_order_relaxed);
      if (item >= items.end) break;
      if (first) came_.fetch_add(1, std::memory_order_relaxed);
      first = false;
      RunItem(item, reinterpret_cast<float*>(own.data()));
    }
  }
}

void AttentionRun::RunItem(int64_t item, float* workspace) const {
  const int64_t head = item / parts_;
  const Range blocks =
      EvenRange(CeilDiv(attention_.queries, kAttentionQueries), item % parts_, parts_);
  const Range queries{blocks.begin * kAttentionQueries,
                      std::min(blocks.end * kAttentionQueries, attention_.queries)};
  kernel_.run(attention_, head, queries, workspace);
}

}  // namespace nfcompile
