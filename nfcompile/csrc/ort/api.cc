#include "ort/api.h"

#include "base/text.h"

namespace nfcompile::ort {

void Api::Check(OrtStatus* status) const {
  if (status == nullptr) return;
  const std::string message = Get<GetErrorMessage>()(status);
  Get<ReleaseStatus>()(status);
  throw OrtError(message);
}

ShapeInfo OwnShapeInfo(const Api& api, OrtTensorTypeAndShapeInfo* info) {
  return {info, api.Get<ReleaseTensorTypeAndShapeInfo>()};
}

std::vector<int64_t> Dimensions(const Api& api, const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  api.Call<GetDimensionsCount>(info, &rank);
  std::vector<int64_t> dims(rank);
  api.Call<GetDimensions>(info, dims.data(), rank);
  return dims;
}

int64_t Tensor::elements() const {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return count;
}

Tensor ReadTensor(const Api& api, const OrtValue* value) {
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  api.Call<GetTensorTypeAndShape>(value, &raw);
  const ShapeInfo info = OwnShapeInfo(api, raw);
  Tensor tensor;
  api.Call<GetTensorElementType>(info.get(), &tensor.type);
  tensor.dims = Dimensions(api, info.get());
  void* data = nullptr;
  // The C API has no reader for constant values: nothing is written through this pointer.
  api.Call<GetTensorMutableData>(const_cast<OrtValue*>(value), &data);
  tensor.data = data;
  return tensor;
}

const char* TypeText(int type) {
  if (type == kFloat) return "float32";
  return type == kFloat16 ? "float16" : "bfloat16";
}

std::string ShapeText(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += Cat(i == 0 ? "" : ", ", dims[i]);
  return text + "]";
}

}  // namespace nfcompile::ort
