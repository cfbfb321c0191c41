#include "base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace nfcompile {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

}  // namespace

AlignedBytes::AlignedBytes(size_t size) {
  const size_t alignment = size >= kHugePage / 2 ? kHugePage : kCacheLine;
  // One line more than asked for, so that a vector load at the last element stays inside.
  size_ = RoundUp(size + kCacheLine, alignment);
  data_ = std::aligned_alloc(alignment, size_);
  if (data_ == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  // Only advice: where it is refused the buffer is slower, not wrong.
  if (alignment == kHugePage) (void)madvise(data_, size_, MADV_HUGEPAGE);
#endif
}

AlignedBytes::~AlignedBytes() { std::free(data_); }

float* ThreadWorkspace(size_t floats) {
  thread_local AlignedBytes buffer;
  const size_t needed = floats * sizeof(float);
  if (buffer.size() < needed + kCacheLine) {
    buffer = AlignedBytes();  // frees first: the old contents are of no use
    buffer = AlignedBytes(RoundUp(needed, kHugePage));
  }
  return static_cast<float*>(buffer.data());
}

}  // namespace nfcompile
