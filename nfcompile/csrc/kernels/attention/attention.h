// Attention of many heads:
//
//   s[b, h, q, k] = scale * sum_i Q[b, h, q, i] K[b, g, k, i] + bias[b, h, q, k]
//   p[b, h, q, k] = exp(s[b, h, q, k]) / sum_j exp(s[b, h, q, j])
//   Y[b, q, h e + j] = sum_k p[b, h, q, k] V[b, g, k, j]
//
// with i < d, the size of a head, and j < e, the size of its values. As many neighbouring heads
// share keys and values as there are heads of queries for each of theirs. Without keys Y is
// zero.
#ifndef NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_
#define NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/isa.h"
#include "base/partition.h"
#include "kernels/precision.h"

namespace nfcompile {

// Queries that are worked on together; an item starts at a multiple of them.
constexpr int64_t kAttentionQueries = 16;

// What is added to the scores; not owned.
struct AttentionBias {
  const float* data = nullptr;  // null: nothing
  // Distances of neighbours along batch, heads, queries and keys; 0 where all share one.
  std::array<int64_t, 4> strides{};
};

// Rows of all heads; not owned. They lie as layers leave them, [batch, rows, heads * size], or
// head by head, [batch, heads, rows, size].
struct AttentionRows {
  const float* data = nullptr;
  // Distances of neighbours.
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;

  const float* Head(int64_t of_batch, int64_t number) const {
    return data + of_batch * batch + number * head;
  }
};

// Operands; not owned.
struct Attention {
  AttentionRows q;
  AttentionRows k;
  AttentionRows v;
  AttentionBias bias;
  float* y = nullptr;  // [batch, queries, heads * value_size]
  int64_t batch = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t key_heads = 0;  // of keys and values; divides heads
  int64_t size = 0;
  int64_t value_size = 0;
  float scale = 1.0f;
  bool nan_is_zero = false;  // of p: a query that sees no key gives zero

  int64_t KeyHead(int64_t head) const { return head / (heads / key_heads); }
};

// All but the pointers, from the dimensions of inputs. `scale`: where it is absent,
// 1 / sqrt(size). Throws std::invalid_argument where shapes do not fit.
Attention ShapeAttention(int64_t heads, std::optional<float> scale, std::span<const int64_t> q,
                         std::span<const int64_t> k, std::span<const int64_t> v,
                         std::optional<std::span<const int64_t>> bias);

// Where an item's data lie in its workspace, in floats, one after the other: scores of
// kAttentionQueries rows, then the transposed keys of the head, and for bf16 its values and
// some rows of it.
struct AttentionSizes {
  explicit AttentionSizes(const Attention& attention)
      : scores_stride(CeilDiv(attention.keys, 16) * 16 + 16),
        keys(scores_stride * attention.size),
        values_stride(CeilDiv(attention.value_size, 16) * 16),
        values(CeilDiv(attention.keys, 2) * values_stride),
        row(CeilDiv(attention.size, 16) * 8) {}

  int64_t all() const {
    return kAttentionQueries * scores_stride + keys + values + kAttentionQueries * row;
  }

  // Whole vectors of any kernel, and a cache line more, lest the rows of long sequences share a
  // set of the cache.
  int64_t scores_stride;
  int64_t keys;
  int64_t values_stride;
  int64_t values;
  int64_t row;  // of pairs
};

// One entry of the table. Items may run at the same time; each has a workspace of its own, of
// AttentionSizes(attention).all() floats, 64-byte aligned. How queries are cut into items does
// not change a bit.
struct AttentionKernel {
  const char* name;
  Isa isa;
  Precision precision;
  // Y of these queries of one head; heads are numbered through the batch.
  void (*run)(const Attention& attention, int64_t head, Range queries, float* workspace);
};

// The kernel of an instruction set. bf16: operands of both products are rounded to it, sums and
// softmax are fp32; where no instruction multiplies them, fp32 is computed with.
const AttentionKernel& FindAttentionKernel(Isa isa, Precision precision);

extern const AttentionKernel attention_f32_scalar;
extern const AttentionKernel attention_f32_avx2;
extern const AttentionKernel attention_f32_avx512;
extern const AttentionKernel attention_f32_avx512_emulated;
extern const AttentionKernel attention_bf16_scalar;
extern const AttentionKernel attention_bf16_avx512_bf16;

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_
