// The attention kernels on odd shapes against their scalar twin, operands in exact allocations.
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/isa.h"
#include "kernels/attention/attention_run.h"
#include "tests/stress_csr.h"

namespace nfcompile {
namespace {

std::vector<float> Run(Attention attention, const AttentionKernel& kernel, int64_t threads) {
  const int64_t columns = attention.heads * attention.value_size;
  std::vector<float> y(attention.batch * attention.queries * columns, std::nanf(""));
  attention.y = y.data();
  AttentionRun run(attention, kernel, {threads, threads});
  WorkOnAll(run);
  return y;
}

// `shared`: bits of the axes that the bias does not have.
int64_t Compare(int64_t queries, int64_t keys, int64_t size, int64_t value_size, int shared) {
  constexpr int64_t kBatch = 2;
  constexpr int64_t kHeads = 6;
  const int64_t key_heads = shared % 3 == 0 ? kHeads : shared % 3;  // 6, 1, 2
  const std::vector<float> q = Normals(kBatch * queries * kHeads * size);
  const std::vector<float> k = Normals(kBatch * keys * key_heads * size);
  const std::vector<float> v = Normals(kBatch * keys * key_heads * value_size);
  std::vector<int64_t> dims{kBatch, kHeads, queries, keys};
  int64_t elements = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (shared >> i & 1) dims[i] = 1;
    elements *= dims[i];
  }
  const std::vector<float> bias = Normals(elements);
  // As layers leave them, or head by head.
  const auto lie = [&](bool by_head, int64_t rows, int64_t heads, int64_t of_head) {
    return by_head ? std::vector{kBatch, heads, rows, of_head}
                   : std::vector{kBatch, rows, heads * of_head};
  };
  Attention attention = ShapeAttention(kHeads, {}, lie(shared & 1, queries, kHeads, size),
                                       lie(shared & 2, keys, key_heads, size),
                                       lie(shared & 4, keys, key_heads, value_size), dims);
  attention.q.data = q.data();
  attention.k.data = k.data();
  attention.v.data = v.data();
  attention.bias.data = bias.data();
  const std::vector<float> expected = Run(attention, attention_f32_scalar, 1);
  const std::vector<float> rounded = Run(attention, attention_bf16_scalar, 1);
  int64_t failures = 0;
  for (const Isa isa : TestIsas()) {
    for (const int64_t threads : {1, 3}) {
      const auto& kernel = FindAttentionKernel(isa, Precision::kFloat32);
      failures += Failures(Run(attention, kernel, threads), expected, 1e-4f);
      const auto& narrow = FindAttentionKernel(isa, Precision::kBfloat16);
      failures += Failures(Run(attention, narrow, threads), rounded, 5e-2f);
    }
  }
  return failures;
}

}  // namespace

int64_t StressAttention() {
  int64_t failures = 0;
  int shared = 0;
  for (const int64_t queries : {1, 3, 7, 33, 70}) {
    for (const int64_t keys : {1, 8, 15, 16, 17, 33, 90}) {
      for (const int64_t size : {1, 16, 23, 64}) {
        for (const int64_t value_size : {1, 8, 19, 64}) {
          failures += Compare(queries, keys, size, value_size, shared++ % 16);
        }
      }
    }
  }
  if (failures > 0) std::printf("attention: %ld wrong\n", static_cast<long>(failures));
  return failures;
}

}  // namespace nfcompile
