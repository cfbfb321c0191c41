#include <algorithm>
#include <cmath>

#include "kernels/precision.h"

namespace nfcompile {
namespace {

constexpr int kExponentBias = 15;
constexpr int kFractionBits = 10;

}  // namespace

uint16_t ToFloat16(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  const float size = std::fabs(value);
  if (size == 0.0f) return sign;
  constexpr float kLargest = 65504.0f;
  constexpr float kTie = 65520.0f;  // between the largest number and what would be the next
  if (size >= kTie) return sign | 0x7c00;
  if (size > kLargest) return sign | 0x7bff;
  int exponent = 0;
  std::frexp(size, &exponent);  // size = f * 2^exponent, 1/2 <= f < 1
  const int step = std::max(exponent - 1, 1 - kExponentBias) - kFractionBits;
  // A whole number of steps, exactly: rounded to nearest, ties to even, by the C library.
  const auto steps = static_cast<uint16_t>(std::nearbyint(std::ldexp(size, -step)));
  const int biased = step + kFractionBits + kExponentBias - 1;  // 0 for subnormal numbers
  return sign | static_cast<uint16_t>((biased << kFractionBits) + steps);
}

float FromFloat16(uint16_t value) {
  const int exponent = value >> kFractionBits & 0x1f;
  const int fraction = value & 0x3ff;
  const float sign = (value & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0x1f) return fraction != 0 ? NAN : sign * INFINITY;
  const int whole = exponent == 0 ? fraction : fraction + (1 << kFractionBits);
  const int power = (exponent == 0 ? 1 : exponent) - kExponentBias - kFractionBits;
  return sign * std::ldexp(static_cast<float>(whole), power);
}

}  // namespace nfcompile
