// Attention of many heads, all matrices row-major as layers leave them:
//
//   s[b, h, q, k] = scale * sum_i Q[b, q, h d + i] K[b, k, h d + i] + bias[b, h, q, k]
//   p[b, h, q, k] = exp(s[b, h, q, k]) / sum_j exp(s[b, h, q, j])
//   Y[b, q, h e + j] = sum_k p[b, h, q, k] V[b, k, h e + j]
//
// with i < d, the size of a head, and j < e, the size of its values. Without keys Y is zero.
#ifndef NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_
#define NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/isa.h"
#include "base/partition.h"

namespace nfcompile {

// Queries that are worked on together; an item starts at a multiple of them.
constexpr int64_t kAttentionQueries = 16;

// What is added to the scores; not owned.
struct AttentionBias {
  const float* data = nullptr;  // null: nothing
  // Distances of neighbours along batch, heads, queries and keys; 0 where all share one.
  std::array<int64_t, 4> strides{};
};

// Operands; not owned.
struct Attention {
  const float* q = nullptr;  // [batch, queries, heads * size]
  const float* k = nullptr;  // [batch, keys, heads * size]
  const float* v = nullptr;  // [batch, keys, heads * value_size]
  AttentionBias bias;
  float* y = nullptr;  // [batch, queries, heads * value_size]
  int64_t batch = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t size = 0;
  int64_t value_size = 0;
  float scale = 1.0f;
};

// All but the pointers, from the dimensions of inputs. `scale`: where it is absent,
// 1 / sqrt(size). Throws std::invalid_argument where shapes do not fit.
Attention ShapeAttention(int64_t heads, std::optional<float> scale, std::span<const int64_t> q,
                         std::span<const int64_t> k, std::span<const int64_t> v,
                         std::optional<std::span<const int64_t>> bias);

// One entry of the table. Items may run at the same time; each has a workspace of its own, of
// AttentionWorkspace(attention) floats, 64-byte aligned. How queries are cut into items does
// not change a bit.
struct AttentionKernel {
  const char* name;
  Isa isa;
  // Y of these queries of one head; heads are numbered through the batch.
  void (*run)(const Attention& attention, int64_t head, Range queries, float* workspace);
};

// The kernel of an instruction set.
const AttentionKernel& FindAttentionKernel(Isa isa);

// Floats from one row of scores to the next: whole vectors of any kernel, and a cache line
// more, lest the rows of long sequences share a set of the cache.
constexpr int64_t ScoresStride(int64_t keys) { return CeilDiv(keys, 16) * 16 + 16; }

// The transposed keys of a head, and the scores.
int64_t AttentionWorkspace(const Attention& attention);

extern const AttentionKernel attention_f32_scalar;
extern const AttentionKernel attention_f32_avx2;
extern const AttentionKernel attention_f32_avx512;
extern const AttentionKernel attention_f32_avx512_emulated;

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_ATTENTION_ATTENTION_H_
