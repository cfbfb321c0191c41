// Normalization of each batch row over its features, between the products of a chain:
//
//   y[m, f] = (x[m, f] - mean[m]) / sqrt(mean over f of (x[m, f] - mean[m])^2 + epsilon)
//             * scale[f] + bias[f]
//
// where mean[m] is that of x[m, :] (layer normalization, Ba et al. 2016), or 0 where it is not
// centered (root mean square, Zhang and Sennrich 2019).
#ifndef NFCOMPILE_KERNELS_NORM_NORM_H_
#define NFCOMPILE_KERNELS_NORM_NORM_H_

#include <cstdint>
#include <vector>

#include "base/partition.h"

namespace nfcompile {

struct Norm {
  std::vector<float> scale;  // [features]
  float epsilon = 0;
  bool centered = true;

  int64_t features() const { return static_cast<int64_t>(scale.size()); }
};

// The same as kernels see it.
struct NormView {
  int64_t features = 0;
  const float* scale = nullptr;
  const float* bias = nullptr;  // or null
  float epsilon = 0;
  bool centered = true;
};

// `bias`: [features], or empty; both must outlive the result.
NormView ViewOf(const Norm& norm, const std::vector<float>& bias);

// The rows `rows` of row-major x [batch, features]; y may be x. Plain loops, and the readable
// twin of tile/tile_norm_simd.h: products of few rows take far longer.
void NormalizeRows(const NormView& norm, const float* x, Range rows, float* y);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_NORM_NORM_H_
