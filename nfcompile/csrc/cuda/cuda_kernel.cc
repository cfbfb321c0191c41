#include "cuda/cuda_kernel.h"

#include <variant>

#include "base/text.h"
#include "cuda/pack.h"
#include "ort/layers.h"

namespace nfcompile::cuda {
namespace {

ElementType FromOrt(int type) {
  if (type == ort::kFloat) return ElementType::kFloat32;
  return type == ort::kFloat16 ? ElementType::kFloat16 : ElementType::kBfloat16;
}

int ToOrt(ElementType type) {
  if (type == ElementType::kFloat32) return ort::kFloat;
  return type == ElementType::kFloat16 ? ort::kFloat16 : ort::kBfloat16;
}

DevicePointer Address(const void* pointer) { return reinterpret_cast<DevicePointer>(pointer); }

}  // namespace

void CudaKernel::Run(OrtKernelContext* context) const {
  const int type = ToOrt(product_->x_type());
  const ort::Tensor x = RequiredInput(context, 0, "X", type);
  Require(!x.dims.empty() && x.dims.back() == product_->in_features(), "X must have ",
          product_->in_features(), " elements in its last dimension, got shape ",
          ort::ShapeText(x.dims));
  std::vector<int64_t> dims = x.dims;
  dims.back() = product_->out_features();
  Operands operands;
  operands.y = Address(Output(context, 0, dims));
  operands.x = Address(x.data);
  operands.bias = Address(OptionalInput(context, ort::kBiasInput, "bias", {dims.back()}, type));
  operands.residual =
      Address(OptionalInput(context, ort::kResidualInput, "residual", dims, type));
  operands.batch = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) operands.batch *= dims[i];
  Stream stream = nullptr;
  api().Call<ort::KernelContextGetGpuComputeStream>(context, &stream);
  product_->Launch(operands, epilogue_, stream);
}

std::unique_ptr<ort::Kernel> MakeCudaKernel(const ort::Operator& op, const ort::Node& node,
                                            std::string subject) {
  const ort::Weights weights = ReadWeights(node, ProductInputs(node, *op.family()));
  const Types types{.x = FromOrt(op.traits().type), .values = FromOrt(weights.type)};
  auto product = std::visit(
      [&](const auto& view) { return std::make_unique<Product>(Pack(view, types), types); },
      weights.view);
  return std::make_unique<CudaKernel>(op.api(), std::move(subject), std::move(product),
                                      ort::ReadEpilogue(node));
}

}  // namespace nfcompile::cuda
