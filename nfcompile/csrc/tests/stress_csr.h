// Random CSR weights for the drivers.
#ifndef NFCOMPILE_TESTS_STRESS_CSR_H_
#define NFCOMPILE_TESTS_STRESS_CSR_H_

#include <cstdint>
#include <memory>
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

std::shared_ptr<const MatMul> Pack(const Weight& weight, Isa isa, Precision precision);

}  // namespace nfcompile

#endif  // NFCOMPILE_TESTS_STRESS_CSR_H_
