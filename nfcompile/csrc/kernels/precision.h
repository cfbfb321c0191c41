// The type in which weights are stored, and activations between the layers of a chain.
#ifndef NFCOMPILE_KERNELS_PRECISION_H_
#define NFCOMPILE_KERNELS_PRECISION_H_

#include <cstdint>
#include <cstring>

namespace nfcompile {

enum class Precision { kFloat32, kBfloat16 };

// The upper half of a float, rounded to nearest, ties to even; NaN stays NaN.
static inline uint16_t ToBfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float FromBfloat16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

// IEEE half precision: to nearest, ties to even; beyond the largest number infinity; NaN stays
// NaN.
uint16_t ToFloat16(float value);
float FromFloat16(uint16_t value);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_PRECISION_H_
