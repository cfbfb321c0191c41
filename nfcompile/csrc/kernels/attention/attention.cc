#include "kernels/attention/attention.h"

#include <cmath>
#include <string>

#include "base/text.h"

namespace nfcompile {
namespace {

std::string ShapeText(std::span<const int64_t> dims) {
  std::string text;
  for (const int64_t dim : dims) text += Cat(text.empty() ? "" : ", ", dim);
  return Cat("[", text, "]");
}

// [batch, rows, heads * n] with n returned.
int64_t SizeOfHead(const char* name, std::span<const int64_t> dims, int64_t heads) {
  Require(dims.size() == 3 && dims[2] > 0 && dims[2] % heads == 0, name,
          " must have shape [batch, tokens, heads * size] with ", heads, " heads, got ",
          ShapeText(dims));
  return dims[2] / heads;
}

}  // namespace

Attention ShapeAttention(int64_t heads, std::optional<float> scale, std::span<const int64_t> q,
                         std::span<const int64_t> k, std::span<const int64_t> v,
                         std::optional<std::span<const int64_t>> bias) {
  Require(heads >= 1, "heads must be at least 1, got ", heads);
  Attention attention;
  attention.heads = heads;
  attention.size = SizeOfHead("Q", q, heads);
  attention.value_size = SizeOfHead("V", v, heads);
  attention.batch = q[0];
  attention.queries = q[1];
  attention.keys = v[1];
  const int64_t keys[3] = {q[0], v[1], q[2]};
  Require(v[0] == q[0], "V must have Q's batch, ", q[0], ", got shape ", ShapeText(v));
  Require(k.size() == 3 && k[0] == keys[0] && k[1] == keys[1] && k[2] == keys[2],
          "K must have V's tokens and otherwise Q's shape, ", ShapeText(keys), ", got ",
          ShapeText(k));
  attention.scale =
      scale ? *scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.size)));
  if (!bias) return attention;
  const int64_t scores[4] = {attention.batch, heads, attention.queries, attention.keys};
  bool fits = bias->size() == 4;
  int64_t stride = 1;
  for (size_t i = 4; fits && i-- > 0;) {
    const int64_t dim = (*bias)[i];
    fits = dim == 1 || dim == scores[i];
    attention.bias.strides[i] = dim == 1 ? 0 : stride;
    stride *= dim;
  }
  Require(fits, "bias must have shape ", ShapeText(scores), ", or 1 for some of it, got ",
          ShapeText(*bias));
  return attention;
}

const AttentionKernel& FindAttentionKernel(Isa isa, Precision precision) {
  const bool narrow = precision == Precision::kBfloat16;
#if defined(__x86_64__)
  if (narrow && isa == Isa::kAvx512Bf16) return attention_bf16_avx512_bf16;
  for (const AttentionKernel* kernel :
       {&attention_f32_avx512, &attention_f32_avx2, &attention_f32_avx512_emulated}) {
    if (kernel->isa == Fp32Isa(isa)) return *kernel;
  }
#endif
  return narrow ? attention_bf16_scalar : attention_f32_scalar;
}

}  // namespace nfcompile
