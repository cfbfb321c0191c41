#include "tests/stress_csr.h"

#include <cmath>
#include <random>

#include "kernels/precision.h"

namespace nfcompile {
namespace {

std::mt19937 generator(2);

}  // namespace

std::vector<float> Normals(int64_t size) {
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(generator);
  return values;
}

Weight Random(int64_t out, int64_t in) {
  Weight weight;
  weight.in = in;
  std::bernoulli_distribution stored(0.3);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      if (!stored(generator)) continue;
      weight.values.push_back(FromBfloat16(ToBfloat16(Normals(1)[0] * 0.5f)));
      weight.indices.push_back(static_cast<int32_t>(i));
    }
    weight.indptr.push_back(static_cast<int32_t>(weight.values.size()));
  }
  return weight;
}

std::shared_ptr<const MatMul> Pack(const Weight& weight, Isa isa, Precision precision,
                                   const Window* window) {
  const auto nnz = static_cast<int64_t>(weight.values.size());
  const auto rows = static_cast<int64_t>(weight.indptr.size());
  return std::make_shared<const MatMul>(
      MakeCsrMatMul({weight.values.data(),
                     nnz,
                     {weight.indices.data(), nnz, IndexType::kInt32},
                     {weight.indptr.data(), rows, IndexType::kInt32},
                     weight.in},
                    isa, precision, {.window = window}));
}

int64_t Failures(const std::vector<float>& got, const std::vector<float>& expected,
                 float allowed) {
  float largest = 1;
  for (const float value : expected) largest = std::fmax(largest, std::fabs(value));
  int64_t failures = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!(std::fabs(got[i] - expected[i]) <= allowed * largest)) ++failures;
  }
  return failures;
}

}  // namespace nfcompile
