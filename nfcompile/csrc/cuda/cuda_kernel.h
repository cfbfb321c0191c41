// A product as a node of a session on the CUDA execution provider.
#ifndef NFCOMPILE_CUDA_CUDA_KERNEL_H_
#define NFCOMPILE_CUDA_CUDA_KERNEL_H_

#include <memory>
#include <string>
#include <utility>

#include "cuda/product.h"
#include "ort/kernel.h"
#include "ort/operator.h"

namespace nfcompile::cuda {

class CudaKernel final : public ort::Kernel {
 public:
  CudaKernel(const ort::Api& api, std::string subject, std::unique_ptr<Product> product,
             const Epilogue& epilogue)
      : Kernel(api, std::move(subject)), product_(std::move(product)), epilogue_(epilogue) {}

 private:
  void Run(OrtKernelContext* context) const override;

  const std::unique_ptr<Product> product_;
  const Epilogue epilogue_;
};

// Reads, packs and uploads the weights of a node. Throws std::invalid_argument on malformed
// ones, std::runtime_error where there is no device.
std::unique_ptr<ort::Kernel> MakeCudaKernel(const ort::Operator& op, const ort::Node& node,
                                            std::string subject);

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_CUDA_KERNEL_H_
