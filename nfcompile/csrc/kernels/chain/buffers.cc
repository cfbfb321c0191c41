#include "kernels/chain/buffers.h"

#include <algorithm>

namespace nfcompile {
namespace {

struct Buffer {
  int64_t features = 0;
  int64_t free_after = -1;  // the last step that reads what is in it
};

}  // namespace

Buffers AssignBuffers(const std::vector<SlotLife>& slots, int64_t slack) {
  std::vector<Buffer> buffers;
  std::vector<size_t> buffer_of(slots.size());
  for (size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].features == 0) continue;
    const auto free = std::find_if(buffers.begin(), buffers.end(), [&](const Buffer& buffer) {
      return buffer.free_after < slots[s].first;
    });
    buffer_of[s] = free - buffers.begin();
    if (free == buffers.end()) buffers.emplace_back();
    Buffer& buffer = buffers[buffer_of[s]];
    buffer.features = std::max(buffer.features, slots[s].features + slack);
    buffer.free_after = slots[s].last;
  }
  Buffers assigned;
  std::vector<int64_t> offsets;
  for (const Buffer& buffer : buffers) {
    offsets.push_back(assigned.features);
    assigned.features += buffer.features;
  }
  for (size_t s = 0; s < slots.size(); ++s) {
    assigned.offset.push_back(slots[s].features == 0 ? -1 : offsets[buffer_of[s]]);
  }
  return assigned;
}

}  // namespace nfcompile
