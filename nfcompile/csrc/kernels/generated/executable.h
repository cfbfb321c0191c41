// Memory that holds generated code: written once, then read and executed, never both.
#ifndef NFCOMPILE_KERNELS_GENERATED_EXECUTABLE_H_
#define NFCOMPILE_KERNELS_GENERATED_EXECUTABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace nfcompile {

class Executable {
 public:
  // Null where the system does not allow it.
  static std::unique_ptr<Executable> Make(const std::vector<uint8_t>& code);

  ~Executable();
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;

  const uint8_t* data() const { return data_; }

 private:
  Executable(uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t* data_;
  size_t size_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_GENERATED_EXECUTABLE_H_
