// Memory that one run borrows and gives back: what the process has needed at once stays.
#ifndef NFCOMPILE_BASE_WORKSPACE_H_
#define NFCOMPILE_BASE_WORKSPACE_H_

#include <cstddef>

#include "base/aligned_buffer.h"

namespace nfcompile {

class Workspace {
 public:
  explicit Workspace(size_t bytes);  // throws std::bad_alloc; contents are arbitrary
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Aligned to a cache line, and to a huge page where it is that large; null for no bytes.
  char* data() const { return static_cast<char*>(buffer_.data()); }

 private:
  AlignedBytes buffer_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_WORKSPACE_H_
