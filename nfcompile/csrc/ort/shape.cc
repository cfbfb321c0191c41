#include "ort/shape.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/tile/window.h"

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

// A list of the node; empty where there is none.
std::vector<int64_t> List(const Api& api, OrtShapeInferContext* context, const char* name) {
  const OrtOpAttr* attribute = nullptr;
  size_t size = 0;
  if (!api.Try<ShapeInferContextGetAttribute>(context, name, &attribute)) return {};
  api.Try<ReadOpAttr>(attribute, kAttributeInts, static_cast<void*>(nullptr), size_t{0}, &size);
  std::vector<int64_t> list(size / sizeof(int64_t));
  if (list.empty() || !api.Try<ReadOpAttr>(attribute, kAttributeInts,
                                           static_cast<void*>(list.data()), size, &size)) {
    return {};
  }
  return list;
}

// Of each result of a chain.
std::vector<int64_t> ChainFeatures(const Api& api, OrtShapeInferContext* context) {
  const std::vector<int64_t> features = List(api, context, "out_features");
  const int64_t inputs = std::max<int64_t>(Attribute(api, context, "inputs"), 1);
  std::vector<int64_t> found;
  for (const int64_t slot : List(api, context, "outputs")) {
    const int64_t layer = slot - inputs;
    if (layer < 0 || layer >= static_cast<int64_t>(features.size())) return {};
    found.push_back(features[layer]);
  }
  return found;
}

// -1 where it is not known, or leaves a rest.
int64_t Divide(int64_t features, int64_t by) {
  return features > 0 && by > 0 && features % by == 0 ? features / by : -1;
}

int64_t AttentionFeatures(const Api& api, OrtShapeInferContext* context) {
  std::vector<int64_t> dims[3];
  for (size_t i = 0; i < 3; ++i) {
    const auto shape = InputShape(api, context, i);
    if (!shape || shape->size() < 3 || shape->size() > 4) return -1;
    dims[i] = *shape;
  }
  const auto& [q, k, v] = dims;
  const int64_t heads = Attribute(api, context, "heads");
  const int64_t size = q.size() == 4 ? q[3] : Divide(q[2], heads);
  const int64_t key_heads = k.size() == 4 ? k[1] : Divide(k[2], size);
  const int64_t value_size = v.size() == 4 ? v[3] : Divide(v[2], key_heads);
  return heads > 0 && value_size > 0 ? heads * value_size : -1;
}

// The output features as far as shapes and attributes tell, or -1.
int64_t OutFeatures(const Operator& op, OrtShapeInferContext* context) {
  const Api& api = op.api();
  if (op.attends()) return AttentionFeatures(api, context);
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

// Places of the window along both axes, -1 where an image's size is not known; false where the
// node is malformed.
bool FindPlaces(const Api& api, OrtShapeInferContext* context, std::vector<int64_t>& dims) {
  const Window window{.kernel_shape = List(api, context, "kernel_shape"),
                      .strides = List(api, context, "strides"),
                      .dilations = List(api, context, "dilations"),
                      .pads = List(api, context, "pads")};
  Check(window);
  for (size_t axis = 0; axis < 2; ++axis) {
    if (dims[axis + 2] >= 0) dims[axis + 2] = Places(window, axis, dims[axis + 2]).out;
  }
  return dims[2] >= 0 && dims[3] >= 0;
}

// Output `index` has the element type of `x`.
void SetOutput(const Api& api, OrtShapeInferContext* context, size_t index,
               const OrtTensorTypeAndShapeInfo* x, const std::vector<int64_t>& dims,
               std::vector<const char*>& names) {
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  api.Call<CreateTensorTypeAndShapeInfo>(&raw);
  const ShapeInfo y = OwnShapeInfo(api, raw);
  int type = kUndefined;
  api.Call<GetTensorElementType>(x, &type);
  api.Call<SetTensorElementType>(y.get(), type);
  api.Call<SetDimensions>(y.get(), dims.data(), dims.size());
  api.Call<SetSymbolicDimensions>(y.get(), names.data(), names.size());
  api.Call<ShapeInferContextSetOutputTypeShape>(context, index, y.get());
}

}  // namespace

void InferOutputShape(const Operator& op, OrtShapeInferContext* context) {
  const Api& api = op.api();
  if (!op.family() && op.convolves()) return;  // found out by a run
  OrtTensorTypeAndShapeInfo* x = nullptr;
  if (!api.Try<ShapeInferContextGetInputTypeShape>(context, size_t{0}, &x) || x == nullptr)
    return;
  std::vector<int64_t> dims = Dimensions(api, x);
  const std::vector<int64_t> features = op.gives_several()
                                            ? ChainFeatures(api, context)
                                            : std::vector<int64_t>{OutFeatures(op, context)};
  if (dims.size() < (op.convolves() ? 4 : 1)) return;  // a run checks it all
  if (op.convolves() && !FindPlaces(api, context, dims)) return;
  const size_t axis = op.convolves() ? 1 : dims.size() - 1;  // of the features
  std::vector<const char*> names(dims.size(), "");
  api.Call<GetSymbolicDimensions>(x, names.data(), names.size());
  dims[axis] = 0;
  names[axis] = "";
  if (op.attends() && dims.size() == 4) {  // heads come together
    dims.erase(dims.begin() + 1);
    names.erase(names.begin() + 1);
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    // A dimension without size or name cannot be passed on.
    if (dims[i] < 0 && (names[i] == nullptr || *names[i] == '\0')) return;
  }
  for (size_t i = 0; i < features.size(); ++i) {
    if (features[i] < 0) continue;
    dims[op.convolves() ? 1 : dims.size() - 1] = features[i];
    SetOutput(api, context, i, x, dims, names);
  }
}

}  // namespace nfcompile::ort
