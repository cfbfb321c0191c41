#include "kernels/norm/norm.h"

#include <cmath>

namespace nfcompile {

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
    float mean = 0;
    for (int64_t f = 0; norm.centered && f < features; ++f) mean += from[f] / count;
    float square = 0;
    for (int64_t f = 0; f < features; ++f) square += (from[f] - mean) * (from[f] - mean);
    const float factor = 1 / std::sqrt(square / count + norm.epsilon);
    for (int64_t f = 0; f < features; ++f) {
      to[f] = (from[f] - mean) * factor * norm.scale[f] +
              (norm.bias == nullptr ? 0.0f : norm.bias[f]);
    }
  }
}

}  // namespace nfcompile
