// Memory of the device.
#ifndef NFCOMPILE_CUDA_DEVICE_ARRAY_H_
#define NFCOMPILE_CUDA_DEVICE_ARRAY_H_

#include <cstddef>
#include <utility>

#include "cuda/driver.h"

namespace nfcompile::cuda {

// Allocated in the current context, the first device's if there is none; released with the
// object. Never empty.
class DeviceArray {
 public:
  explicit DeviceArray(size_t bytes) : context_(CurrentContext()) {
    Check(GetDriver().allocate(&pointer_, bytes > 0 ? bytes : 1), "allocate device memory");
  }
  // A copy of host memory.
  DeviceArray(const void* data, size_t bytes) : DeviceArray(bytes) {
    if (bytes > 0) Check(GetDriver().upload(pointer_, data, bytes), "copy to the device");
  }
  DeviceArray(DeviceArray&& other) noexcept
      : context_(other.context_), pointer_(std::exchange(other.pointer_, 0)) {}
  DeviceArray& operator=(DeviceArray&&) = delete;
  // On any thread. Fails where the process is ending and the driver is gone: then nothing is
  // left to release.
  ~DeviceArray() {
    if (pointer_ == 0) return;
    const Driver& driver = GetDriver();
    Context before = nullptr;
    driver.get_context(&before);
    driver.set_context(context_);
    driver.release(pointer_);
    driver.set_context(before);
  }

  DevicePointer pointer() const { return pointer_; }

 private:
  Context context_;
  DevicePointer pointer_ = 0;
};

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_DEVICE_ARRAY_H_
