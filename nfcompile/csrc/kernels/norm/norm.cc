#include "kernels/norm/norm.h"

#include <cmath>

namespace nfcompile {
namespace {

// The sum of term(f), in parts that do not wait for each other.
template <typename Term>
float Sum(int64_t features, Term term) {
  constexpr int kParts = 16;
  float parts[kParts] = {};
  int64_t f = 0;
  for (; f + kParts <= features; f += kParts) {
    for (int i = 0; i < kParts; ++i) parts[i] += term(f + i);
  }
  float sum = 0;
  for (; f < features; ++f) sum += term(f);
  for (const float part : parts) sum += part;
  return sum;
}

}  // namespace

NormView ViewOf(const Norm& norm, const std::vector<float>& bias) {
  return {.features = norm.features(),
          .scale = norm.scale.data(),
          .bias = bias.empty() ? nullptr : bias.data(),
          .epsilon = norm.epsilon,
          .centered = norm.centered};
}

void NormalizeRows(const NormView& norm, const float* x, Range rows, float* y) {
  const int64_t features = norm.features;
  const auto count = static_cast<float>(features);
  for (int64_t m = rows.begin; m < rows.end; ++m) {
    const float* from = x + m * features;
    float* to = y + m * features;
    const float mean =
        norm.centered ? Sum(features, [&](int64_t f) { return from[f]; }) / count : 0.0f;
    const float square =
        Sum(features, [&](int64_t f) { return (from[f] - mean) * (from[f] - mean); });
    const float factor = 1 / std::sqrt(square / count + norm.epsilon);
    for (int64_t f = 0; f < features; ++f) {
      to[f] = (from[f] - mean) * factor * norm.scale[f] +
              (norm.bias == nullptr ? 0.0f : norm.bias[f]);
    }
  }
}

}  // namespace nfcompile
