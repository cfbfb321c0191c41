// libnfcompile_ops_cuda: the operators for the CPU, and the products for CUDA, too. A session
// registers this library or libnfcompile_ops: a domain can be added to it only once.
#include "cuda/cuda_kernel.h"
#include "cuda/driver.h"
#include "ort/operator.h"

namespace nfcompile::ort {

std::list<Operator> MakeOperators(const Api& api, bool infer_shapes) {
  std::list<Operator> operators;
  // On the stand-in for the driver the device's memory is the host's: a test of the products
  // for CUDA on the provider for the CPU.
  const bool test = cuda::StandIn() != nullptr;
  AddCpuOperators(api, infer_shapes, /*products=*/!test, operators);
  for (const Family family : {Family::kCsr, Family::kBsr, Family::kBlockDiagonal}) {
    for (const int type : {kFloat, kFloat16, kBfloat16}) {
      const Traits traits{.family = family,
                          .type = type,
                          .provider = test ? "CPUExecutionProvider" : "CUDAExecutionProvider",
                          .make = cuda::MakeCudaKernel};
      operators.emplace_back(api, traits, infer_shapes);
    }
  }
  return operators;
}

}  // namespace nfcompile::ort
