// The equations of attention.h as they stand; operands of products are rounded first.
#ifndef NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SCALAR_H_
#define NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SCALAR_H_

#include <cmath>

#include "kernels/attention/attention.h"

namespace nfcompile {

template <typename Round>
void ScalarHead(const Attention& a, int64_t number, Range queries, float* p, Round round) {
  const int64_t batch = number / a.heads;
  const int64_t head = number % a.heads;
  const float* keys = a.k.Head(batch, a.KeyHead(head));
  const float* values = a.v.Head(batch, a.KeyHead(head));
  const auto& strides = a.bias.strides;
  for (int64_t m = queries.begin; m < queries.end; ++m) {
    const float* q = a.q.Head(batch, head) + m * a.q.row;
    float* y = a.y + ((batch * a.queries + m) * a.heads + head) * a.value_size;
    const float* bias = a.bias.data;
    if (bias != nullptr) bias += batch * strides[0] + head * strides[1] + m * strides[2];
    float most = -INFINITY;
    for (int64_t k = 0; k < a.keys; ++k) {
      float sum = 0;
      for (int64_t i = 0; i < a.size; ++i) sum += round(q[i]) * round(keys[k * a.k.row + i]);
      p[k] = a.scale * sum + (bias == nullptr ? 0.0f : bias[k * strides[3]]);
      most = p[k] > most ? p[k] : most;
    }
    float total = 0;
    for (int64_t k = 0; k < a.keys; ++k) {
      p[k] = std::exp(p[k] - most);
      total += p[k];
    }
    if (a.nan_is_zero && std::isnan(total)) {
      for (int64_t k = 0; k < a.keys; ++k) p[k] = 0;
      total = 1;
    }
    for (int64_t j = 0; j < a.value_size; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < a.keys; ++k) sum += round(p[k]) * round(values[k * a.v.row + j]);
      y[j] = a.keys == 0 ? 0.0f : sum / total;
    }
  }
}

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_SCALAR_H_
