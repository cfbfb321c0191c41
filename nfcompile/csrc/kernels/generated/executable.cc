#include "kernels/generated/executable.h"

#include <sys/mman.h>

#include <cstring>

namespace nfcompile {

std::unique_ptr<Executable> Executable::Make(const std::vector<uint8_t>& code) {
  if (code.empty()) return nullptr;
  void* memory =
      mmap(nullptr, code.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::memcpy(memory, code.data(), code.size());
  if (mprotect(memory, code.size(), PROT_READ | PROT_EXEC) != 0) {
    munmap(memory, code.size());
    return nullptr;
  }
  return std::unique_ptr<Executable>(
      new Executable(static_cast<uint8_t*>(memory), code.size()));
}

Executable::~Executable() { munmap(data_, size_); }

}  // namespace nfcompile
