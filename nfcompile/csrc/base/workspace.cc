#include "base/workspace.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace nfcompile {
namespace {

// More runs at once than this are rare: their memory is freed.
constexpr size_t kMaxKept = 64;

struct Pool {
  // The room is reserved, so that giving back cannot fail.
  Pool() { free.reserve(kMaxKept); }

  std::mutex mutex;
  std::vector<AlignedBytes> free;  // ascending size
};

Pool& ThePool() {
  static auto& pool = *new Pool();  // never destroyed: exit order is unknown
  return pool;
}

bool Smaller(const AlignedBytes& buffer, size_t size) { return buffer.size() < size; }

}  // namespace

Workspace::Workspace(size_t bytes) {
  if (bytes == 0) return;
  AlignedBytes smaller;  // freed before a larger one is made
  {
    Pool& pool = ThePool();
    const std::lock_guard lock(pool.mutex);
    const auto fits = std::lower_bound(pool.free.begin(), pool.free.end(), bytes, Smaller);
    // Not a buffer of another order of magnitude: that one will be asked for again.
    if (fits != pool.free.end() && fits->size() / 4 <= bytes + (size_t{1} << 20)) {
      buffer_ = std::move(*fits);
      pool.free.erase(fits);
      return;
    }
    if (fits == pool.free.end() && !pool.free.empty()) {
      smaller = std::move(pool.free.back());
      pool.free.pop_back();
    }
  }
  smaller = AlignedBytes();
  buffer_ = AlignedBytes(bytes);
}

Workspace::~Workspace() {
  if (buffer_.size() == 0) return;
  Pool& pool = ThePool();
  const std::lock_guard lock(pool.mutex);
  if (pool.free.size() == kMaxKept) return;
  const auto place =
      std::lower_bound(pool.free.begin(), pool.free.end(), buffer_.size(), Smaller);
  pool.free.insert(place, std::move(buffer_));
}

}  // namespace nfcompile
