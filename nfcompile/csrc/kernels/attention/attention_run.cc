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
  if (likely > 1 && heads > 0) {
    parts_ = std::clamp<int64_t>(CeilDiv(likely * kItemsPerThread, heads), 1,
                                 std::max<int64_t>(blocks, 1));
  }
  const int64_t items = blocks == 0 ? 0 : heads * parts_;
  items_.emplace(items, std::clamp<int64_t>(items, 1, std::min(worth, threads.most)));
}

void AttentionRun::Work(int64_t share) noexcept {
  try {
    const Workspace own(AttentionSizes(attention_).all() *
                        sizeof(float));  // before it takes one
    items_->Take(share,
                 [&](int64_t item) { RunItem(item, reinterpret_cast<float*>(own.data())); });
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
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
