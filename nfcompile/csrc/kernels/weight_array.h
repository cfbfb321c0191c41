// Packed weights in either precision.
#ifndef NFCOMPILE_KERNELS_WEIGHT_ARRAY_H_
#define NFCOMPILE_KERNELS_WEIGHT_ARRAY_H_

#include <cstddef>
#include <cstdint>

#include "base/aligned_buffer.h"
#include "kernels/precision.h"

namespace nfcompile {

class WeightArray {
 public:
  WeightArray() = default;
  WeightArray(size_t size, Precision precision)
      : precision_(precision),
        wide_(precision == Precision::kFloat32 ? size : 0),
        narrow_(precision == Precision::kBfloat16 ? size : 0) {}

  Precision precision() const { return precision_; }
  size_t size() const { return wide_.size() + narrow_.size(); }

  void Set(size_t i, float value) {
    if (precision_ == Precision::kFloat32) {
      wide_[i] = value;
    } else {
      narrow_[i] = ToBfloat16(value);
    }
  }

  float Get(size_t i) const {
    return precision_ == Precision::kFloat32 ? wide_[i] : FromBfloat16(narrow_[i]);
  }

  // The array itself: Data(float()) or Data(uint16_t()), by the precision.
  const float* Data(float) const { return wide_.data(); }
  const uint16_t* Data(uint16_t) const { return narrow_.data(); }

 private:
  Precision precision_ = Precision::kFloat32;
  AlignedArray<float> wide_;
  AlignedArray<uint16_t> narrow_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_WEIGHT_ARRAY_H_
