#include "ort/shape.h"

#include <optional>
#include <vector>

namespace nfcompile::ort {
namespace {

std::optional<std::vector<int64_t>> InputShape(const Api& api, OrtShapeInferContext* context,
                                               size_t index) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (!api.Try<ShapeInferContextGetInputTypeShape>(context, index, &info) || info == nullptr) {
    return std::nullopt;
  }
  // Belongs to the context.
  return Dimensions(api, info);
}

int64_t Attribute(const Api& api, OrtShapeInferContext* context, const char* name) {
  const OrtOpAttr* attribute = nullptr;
  int64_t value = -1;
  size_t size = 0;
  if (!api.Try<ShapeInferContextGetAttribute>(context, name, &attribute)) return -1;
  api.Try<ReadOpAttr>(attribute, kAttributeInt, static_cast<void*>(&value), sizeof(value),
                      &size);
  return value;
}

// The last entry of a list of the node, or -1.
int64_t LastOf(const Api& api, OrtShapeInferContext* context, const char* name) {
  const OrtOpAttr* attribute = nullptr;
  size_t size = 0;
  if (!api.Try<ShapeInferContextGetAttribute>(context, name, &attribute)) return -1;
  api.Try<ReadOpAttr>(attribute, kAttributeInts, static_cast<void*>(nullptr), size_t{0}, &size);
  std::vector<int64_t> list(size / sizeof(int64_t));
  if (list.empty() || !api.Try<ReadOpAttr>(attribute, kAttributeInts,
                                           static_cast<void*>(list.data()), size, &size)) {
    return -1;
  }
  return list.back();
}

// The output features as far as shapes and attributes tell, or -1.
int64_t OutFeatures(const Operator& op, OrtShapeInferContext* context) {
  const Api& api = op.api();
  if (!op.family()) return LastOf(api, context, "out_features");
  if (op.family() == Family::kBlockDiagonal) return Attribute(api, context, "out_features");
  constexpr size_t kValues = 1;
  constexpr size_t kIndptr = 3;
  const auto indptr = InputShape(api, context, kIndptr);
  if (!indptr || indptr->size() != 1 || (*indptr)[0] < 1) return -1;
  const int64_t rows = (*indptr)[0] - 1;
  if (op.family() == Family::kCsr) return rows;
  const auto values = InputShape(api, context, kValues);
  if (!values || values->size() != 3 || (*values)[1] < 1) return -1;
  return rows * (*values)[1];
}

}  // namespace

void InferOutputShape(const Operator& op, OrtShapeInferContext* context) {
  const Api& api = op.api();
  OrtTensorTypeAndShapeInfo* x = nullptr;
  if (!api.Try<ShapeInferContextGetInputTypeShape>(context, size_t{0}, &x) || x == nullptr)
    return;
  std::vector<int64_t> dims = Dimensions(api, x);
  const int64_t out = OutFeatures(op, context);
  if (dims.empty() || out < 0) return;  // nothing is inferred; a run checks it all
  std::vector<const char*> names(dims.size(), "");
  api.Call<GetSymbolicDimensions>(x, names.data(), names.size());
  dims.back() = out;
  names.back() = "";
  for (size_t i = 0; i < dims.size(); ++i) {
    // A dimension without size or name cannot be passed on.
    if (dims[i] < 0 && (names[i] == nullptr || *names[i] == '\0')) return;
  }
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  api.Call<CreateTensorTypeAndShapeInfo>(&raw);
  const ShapeInfo y = OwnShapeInfo(api, raw);
  api.Call<SetTensorElementType>(y.get(), kFloat);
  api.Call<SetDimensions>(y.get(), dims.data(), dims.size());
  api.Call<SetSymbolicDimensions>(y.get(), names.data(), names.size());
  api.Call<ShapeInferContextSetOutputTypeShape>(context, size_t{0}, y.get());
}

}  // namespace nfcompile::ort
