// What the drivers share: random CSR weights, threads, comparisons.
#ifndef NFCOMPILE_TESTS_STRESS_CSR_H_
#define NFCOMPILE_TESTS_STRESS_CSR_H_

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/csr/csr.h"

namespace nfcompile {

struct Weight {
  std::vector<float> values;
  std::vector<int32_t> indices;
  std::vector<int32_t> indptr{0};
  int64_t in = 0;
};

std::vector<float> Normals(int64_t size);

// Values that bf16 holds exactly, so that only activations are rounded.
Weight Random(int64_t out, int64_t in);

// `window`: of a convolution.
std::shared_ptr<const MatMul> Pack(const Weight& weight, Isa isa, Precision precision,
                                   const Window* window = nullptr);

// Calls run.Work on as many threads as can be of use.
template <typename Run>
void WorkOnAll(Run& run) {
  std::vector<std::thread> helpers;
  for (int64_t i = 1; i < run.workers(); ++i) helpers.emplace_back([&, i] { run.Work(i); });
  run.Work(0);
  for (std::thread& helper : helpers) helper.join();
}

// How many of `got` are further from `expected` than `allowed` times the largest of it.
int64_t Failures(const std::vector<float>& got, const std::vector<float>& expected,
                 float allowed);

}  // namespace nfcompile

#endif  // NFCOMPILE_TESTS_STRESS_CSR_H_
