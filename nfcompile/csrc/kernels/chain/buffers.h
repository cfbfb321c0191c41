// Which slots of a chain may share memory: those that are not alive at once.
#ifndef NFCOMPILE_KERNELS_CHAIN_BUFFERS_H_
#define NFCOMPILE_KERNELS_CHAIN_BUFFERS_H_

#include <cstdint>
#include <vector>

namespace nfcompile {

// A slot is alive from the step that writes it to the last one that reads it.
struct SlotLife {
  int64_t first = 0;
  int64_t last = 0;
  int64_t size = 0;  // 0: lives elsewhere
};

struct Buffers {
  std::vector<int64_t> offset;  // of each slot; -1 where it lives elsewhere
  int64_t size = 0;             // of all buffers together
};

// In the unit of the slots' sizes.
Buffers AssignBuffers(const std::vector<SlotLife>& slots);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_BUFFERS_H_
