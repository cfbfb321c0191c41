// Uninitialized memory for packed weights and workspaces.
//
// A buffer of at least half a huge page (2 MiB) starts on one and asks the kernel for huge
// pages: sparse products touch their panel at random, and with 4 KiB pages nearly every
// non-zero would miss the first-level TLB.
#ifndef NFCOMPILE_BASE_ALIGNED_BUFFER_H_
#define NFCOMPILE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <utility>

namespace nfcompile {

class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size);  // throws std::bad_alloc
  ~AlignedBytes();
  AlignedBytes(AlignedBytes&& other) noexcept { *this = std::move(other); }
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;

  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// An array of `T`, 64-byte aligned; the elements start uninitialized.
template <typename T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(size_t size) : bytes_(size * sizeof(T)), size_(size) {}

  T* data() const { return static_cast<T*>(bytes_.data()); }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data()[i]; }

 private:
  AlignedBytes bytes_;
  size_t size_ = 0;
};

// A buffer of the calling thread with room for `floats`: grows, is reused by the next call and
// lives as long as the thread.
float* ThreadWorkspace(size_t floats);

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_ALIGNED_BUFFER_H_
