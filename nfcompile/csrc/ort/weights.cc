#include "ort/weights.h"

#include <array>

#include "base/isa.h"
#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"

namespace nfcompile::ort {
namespace {

// Every node has its weights in inputs 1 .. 3, behind X.
constexpr size_t kFirst = 1;
constexpr size_t kSecond = 2;
constexpr size_t kThird = 3;

Tensor RequiredConstant(const Node& node, size_t index, const char* name) {
  std::optional<Tensor> tensor = node.Constant(index, name);
  Require(tensor.has_value(), name, " must be given");
  return *std::move(tensor);
}

const float* FloatData(const Tensor& tensor, size_t rank, const char* name) {
  Require(tensor.type == kFloat, name, " must be of type float32");
  Require(tensor.dims.size() == rank, name, " must have rank ", rank, ", got shape ",
          ShapeText(tensor.dims));
  return static_cast<const float*>(tensor.data);
}

IndexArray Indices(const Tensor& tensor, std::initializer_list<int> types, const char* names,
                   const char* name) {
  Require(tensor.dims.size() == 1, name, " must have rank 1, got shape ",
          ShapeText(tensor.dims));
  bool known = false;
  for (const int type : types) known |= tensor.type == type;
  Require(known, name, " must be of type ", names);
  const IndexType type = tensor.type == kUint8    ? IndexType::kUint8
                         : tensor.type == kUint16 ? IndexType::kUint16
                         : tensor.type == kInt32  ? IndexType::kInt32
                                                  : IndexType::kInt64;
  return {tensor.data, tensor.dims[0], type};
}

IndexArray ColumnIndices(const Tensor& tensor) {
  return Indices(tensor, {kUint8, kUint16, kInt32}, "uint8, uint16 or int32", "indices");
}

IndexArray Indptr(const Tensor& tensor) {
  return Indices(tensor, {kInt32, kInt64}, "int32 or int64", "indptr");
}

BlockSide Side(const Node& node, size_t index, const char* name, const char* rule,
               std::optional<Tensor>& keep) {
  BlockSide side;
  keep = node.Constant(index, name);
  side.stride = node.Int(rule, 0);
  if (!keep.has_value()) return side;
  side.has_list = true;
  side.list = Indices(*keep, {kInt32}, "int32", name);
  return side;
}

std::unique_ptr<MatMul> PackCsrNode(const Node& node, Isa isa) {
  const Tensor values = RequiredConstant(node, kFirst, "values");
  const Tensor indices = RequiredConstant(node, kSecond, "indices");
  const Tensor indptr = RequiredConstant(node, kThird, "indptr");
  return MakeCsrMatMul({.values = FloatData(values, 1, "values"),
                        .nnz = values.elements(),
                        .indices = ColumnIndices(indices),
                        .indptr = Indptr(indptr),
                        .in_features = node.Int("in_features")},
                       isa);
}

std::unique_ptr<MatMul> PackBsrNode(const Node& node, Isa isa) {
  const Tensor values = RequiredConstant(node, kFirst, "values");
  const Tensor indices = RequiredConstant(node, kSecond, "indices");
  const Tensor indptr = RequiredConstant(node, kThird, "indptr");
  const float* data = FloatData(values, 3, "values");
  return MakeBsrMatMul({.values = data,
                        .blocks = values.dims[0],
                        .block_rows = values.dims[1],
                        .block_columns = values.dims[2],
                        .indices = ColumnIndices(indices),
                        .indptr = Indptr(indptr),
                        .in_features = node.Int("in_features")},
                       isa);
}

std::unique_ptr<MatMul> PackBlockDiagonalNode(const Node& node, Isa isa) {
  const Tensor values = RequiredConstant(node, kFirst, "values");
  const float* data = FloatData(values, 3, "values");
  std::optional<Tensor> rows;
  std::optional<Tensor> cols;
  return MakeBlockDiagonalMatMul({.values = data,
                                  .blocks = values.dims[0],
                                  .block_rows = values.dims[1],
                                  .block_columns = values.dims[2],
                                  .rows = Side(node, kSecond, "rows", "row_stride", rows),
                                  .cols = Side(node, kThird, "cols", "col_stride", cols),
                                  .in_features = node.Int("in_features"),
                                  .out_features = node.Int("out_features")},
                                 isa);
}

// Reads a text of unknown length: asks for the size, then for the text.
template <typename Read>
std::string ReadText(Read read) {
  size_t size = 0;
  if (!read(nullptr, &size) || size == 0) return "";
  std::string text(size, '\0');
  if (!read(text.data(), &size)) return "";
  text.resize(size > 0 ? size - 1 : 0);  // the size counts the final zero
  return text;
}

}  // namespace

std::string Node::Name() const {
  return ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetNodeName>(info_, out, size);
  });
}

int64_t Node::Int(const char* name) const {
  int64_t value = 0;
  Require(api_.Try<KernelInfoGetAttributeInt64>(info_, name, &value), "attribute ", name,
          " must be given");
  return value;
}

int64_t Node::Int(const char* name, int64_t otherwise) const {
  int64_t value = 0;
  return api_.Try<KernelInfoGetAttributeInt64>(info_, name, &value) ? value : otherwise;
}

float Node::Float(const char* name, float otherwise) const {
  float value = 0;
  return api_.Try<KernelInfoGetAttributeFloat>(info_, name, &value) ? value : otherwise;
}

std::string Node::String(const char* name, const char* otherwise) const {
  const std::string text = ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetAttributeString>(info_, name, out, size);
  });
  return text.empty() ? otherwise : text;
}

std::optional<Tensor> Node::Constant(size_t index, const char* name) const {
  size_t count = 0;
  api_.Call<KernelInfoGetInputCount>(info_, &count);
  if (index >= count) return std::nullopt;
  int is_constant = 0;
  const OrtValue* value = nullptr;
  api_.Call<KernelInfoGetConstantInputTensor>(info_, index, &is_constant, &value);
  if (is_constant != 0 && value != nullptr) return ReadTensor(api_, value);
  const std::string input = ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetInputName>(info_, index, out, size);
  });
  Require(input.empty(), name, " must be a constant initializer, got the run-time value ",
          input);
  return std::nullopt;
}

std::unique_ptr<MatMul> PackNode(Family family, const Node& node) {
  const Isa isa = SelectIsa();
  switch (family) {
    case Family::kCsr:
      return PackCsrNode(node, isa);
    case Family::kBsr:
      return PackBsrNode(node, isa);
    case Family::kBlockDiagonal:
      return PackBlockDiagonalNode(node, isa);
  }
  return nullptr;
}

Epilogue ReadEpilogue(const Node& node) {
  Epilogue epilogue;
  epilogue.activation = ActivationFromName(node.String("activation", "none"));
  epilogue.alpha = node.Float("activation_alpha", 0.0f);
  epilogue.beta = node.Float("activation_beta", 0.0f);
  epilogue.residual_after_activation = node.Int("residual_after_activation", 0) != 0;
  return epilogue;
}

}  // namespace nfcompile::ort
