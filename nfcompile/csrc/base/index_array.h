// A read-only array of integers of one of the element types that a model may use.
#ifndef NFCOMPILE_BASE_INDEX_ARRAY_H_
#define NFCOMPILE_BASE_INDEX_ARRAY_H_

#include <cstdint>
#include <cstring>

namespace nfcompile {

enum class IndexType { kUint8, kUint16, kInt32, kInt64 };

class IndexArray {
 public:
  IndexArray() = default;
  IndexArray(const void* data, int64_t size, IndexType type)
      : size_(size), data_(data), type_(type) {}

  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  int64_t operator[](int64_t i) const {
    switch (type_) {
      case IndexType::kUint8:
        return At<uint8_t>(i);
      case IndexType::kUint16:
        return At<uint16_t>(i);
      case IndexType::kInt32:
        return At<int32_t>(i);
      case IndexType::kInt64:
        return At<int64_t>(i);
    }
    return -1;
  }

 private:
  // Copied byte by byte, as a model file may put an array at any address.
  template <typename T>
  int64_t At(int64_t i) const {
    T value;
    std::memcpy(&value, static_cast<const char*>(data_) + i * sizeof(T), sizeof(T));
    return value;
  }

  int64_t size_ = 0;
  const void* data_ = nullptr;
  IndexType type_ = IndexType::kInt32;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_INDEX_ARRAY_H_
