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

// The dimensions of rows, however they lie.
struct HeadDims {
  int64_t batch;
  int64_t rows;
  int64_t heads;
  int64_t size;
};

// Of a known number of heads where `heads` > 0, else of a known size.
HeadDims SplitHeads(const char* name, std::span<const int64_t> dims, int64_t heads,
                    int64_t size) {
  if (dims.size() == 4 && dims[1] > 0 && dims[3] > 0 && (heads == 0 || dims[1] == heads)) {
    return {dims[0], dims[2], dims[1], dims[3]};
  }
  const int64_t divisor = heads > 0 ? heads : size;
  Require(
      dims.size() == 3 && dims[2] > 0 && dims[2] % divisor == 0, name,
      " must have shape [batch, tokens, heads * size] or [batch, heads, tokens, size] with ",
      divisor, heads > 0 ? " heads, got " : " as size, got ", ShapeText(dims));
  const int64_t other = dims[2] / divisor;
  return {dims[0], dims[1], heads > 0 ? heads : other, heads > 0 ? other : size};
}

AttentionRows Distances(const HeadDims& dims, bool by_head) {
  const int64_t all = dims.rows * dims.heads * dims.size;
  if (by_head) return {nullptr, all, dims.rows * dims.size, dims.size};
  return {nullptr, all, dims.size, dims.heads * dims.size};
}

}  // namespace

Attention ShapeAttention(int64_t heads, std::optional<float> scale, std::span<const int64_t> q,
                         std::span<const int64_t> k, std::span<const int64_t> v,
                         std::optional<std::span<const int64_t>> bias) {
  Require(heads >= 1, "heads must be at least 1, got ", heads);
  Attention attention;
  const HeadDims queries = SplitHeads("Q", q, heads, 0);
  const HeadDims keys = SplitHeads("K", k, 0, queries.size);
  const HeadDims values = SplitHeads("V", v, keys.heads, 0);
  attention.heads = heads;
  attention.key_heads = keys.heads;
  attention.size = queries.size;
  attention.value_size = values.size;
  attention.batch = queries.batch;
  attention.queries = queries.rows;
  attention.keys = keys.rows;
  attention.q = Distances(queries, q.size() == 4);
  attention.k = Distances(keys, k.size() == 4);
  attention.v = Distances(values, v.size() == 4);
  Require(heads % keys.heads == 0, "K must have a number of heads that divides Q's, ", heads,
          ", got ", keys.heads);
  Require(keys.size == queries.size && keys.batch == queries.batch,
          "K must have Q's batch and size of a head, ", queries.batch, " and ", queries.size,
          ", got shape ", ShapeText(k));
  Require(values.batch == queries.batch && values.rows == keys.rows,
          "V must have Q's batch and K's tokens, ", queries.batch, " and ", keys.rows,
          ", got shape ", ShapeText(v));
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
  if (narrow && VectorIsa(isa) == Isa::kAvx512Bf16) return attention_bf16_avx512_bf16;
  for (const AttentionKernel* kernel :
       {&attention_f32_avx512, &attention_f32_avx2, &attention_f32_avx512_emulated}) {
    if (kernel->isa == Fp32Isa(isa)) return *kernel;
  }
#endif
  return narrow ? attention_bf16_scalar : attention_f32_scalar;
}

}  // namespace nfcompile
