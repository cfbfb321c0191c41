#include "kernels/chain/buffers.h"

#include <algorithm>

namespace nfcompile {
namespace {

struct Buffer {
  int64_t size = 0;
  int64_t free_after = -1;  // the last step that reads what is in it
};

}  // namespace

Buffers AssignBuffers(const std::vector<SlotLife>& slots) {
  std::vector<Buffer> buffers;
  std::vector<size_t> buffer_of(slots.size());
  for (size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].size == 0) continue;
    const auto free = std::find_if(buffers.begin(), buffers.end(), [&](const Buffer& buffer) {
      return buffer.free_after < slots[s].first;
    });
    buffer_of[s] = free - buffers.begin();
    if (free == buffers.end()) buffers.emplace_back();
    Buffer& buffer = buffers[buffer_of[s]];
    buffer.size = std::max(buffer.size, slots[s].size);
    buffer.free_after = slots[s].last;
  }
  Buffers assigned;
  std::vector<int64_t> offsets;
  for (const Buffer& buffer : buffers) {
    offsets.push_back(assigned.size);
    assigned.size += buffer.size;
  }
  for (size_t s = 0; s < slots.size(); ++s) {
    assigned.offset.push_back(slots[s].size == 0 ? -1 : offsets[buffer_of[s]]);
  }
  return assigned;
}

}  // namespace nfcompile
