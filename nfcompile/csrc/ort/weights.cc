#include "ort/weights.h"

#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/isa.h"
#include "base/text.h"
#include "kernels/precision.h"

namespace nfcompile::ort {
namespace {

void CheckRank(const Tensor& tensor, size_t rank, const char* name) {
  Require(tensor.dims.size() == rank, name, " must have rank ", rank, ", got shape ",
          ShapeText(tensor.dims));
}

// Values as floats.
const float* Values(const Tensor& tensor, size_t rank, Weights& weights) {
  CheckRank(tensor, rank, "values");
  weights.type = tensor.type;
  if (tensor.type == kFloat) return static_cast<const float*>(tensor.data);
  Require(tensor.type == kBfloat16 || tensor.type == kFloat16,
          "values must be of type float32, float16 or bfloat16");
  const auto widen = tensor.type == kBfloat16 ? FromBfloat16 : FromFloat16;
  const auto* narrow = static_cast<const uint16_t*>(tensor.data);
  weights.wide.reserve(tensor.elements());
  for (int64_t i = 0; i < tensor.elements(); ++i) weights.wide.push_back(widen(narrow[i]));
  return weights.wide.data();
}

IndexArray Indices(const Tensor& tensor, std::initializer_list<int> types, const char* names,
                   const char* name) {
  CheckRank(tensor, 1, name);
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

BlockSide Side(const Node& node, size_t index, const char* name, int64_t stride) {
  BlockSide side;
  side.stride = stride;
  const std::optional<Tensor> list = node.Constant(index, name);
  side.has_list = list.has_value();
  if (list) side.list = Indices(*list, {kInt32}, "int32", name);
  return side;
}

void Read(const Node& node, const WeightInputs& inputs, Weights& weights, CsrView& view) {
  const Tensor values = RequiredConstant(node, inputs.values, "values");
  view = {.values = Values(values, 1, weights),
          .nnz = values.dims[0],
          .indices = ColumnIndices(RequiredConstant(node, inputs.second, "indices")),
          .indptr = Indptr(RequiredConstant(node, inputs.third, "indptr")),
          .in_features = inputs.in_features};
}

void Read(const Node& node, const WeightInputs& inputs, Weights& weights, BsrView& view) {
  const Tensor values = RequiredConstant(node, inputs.values, "values");
  view = {.values = Values(values, 3, weights),
          .blocks = values.dims[0],
          .block_rows = values.dims[1],
          .block_columns = values.dims[2],
          .indices = ColumnIndices(RequiredConstant(node, inputs.second, "indices")),
          .indptr = Indptr(RequiredConstant(node, inputs.third, "indptr")),
          .in_features = inputs.in_features};
}

void Read(const Node& node, const WeightInputs& inputs, Weights& weights,
          BlockDiagonalView& view) {
  const Tensor values = RequiredConstant(node, inputs.values, "values");
  view = {.values = Values(values, 3, weights),
          .blocks = values.dims[0],
          .block_rows = values.dims[1],
          .block_columns = values.dims[2],
          .rows = Side(node, inputs.second, "rows", inputs.row_stride),
          .cols = Side(node, inputs.third, "cols", inputs.col_stride),
          .in_features = inputs.in_features,
          .out_features = inputs.out_features};
}

}  // namespace

Family FamilyFromName(std::string_view name) {
  if (name == "csr") return Family::kCsr;
  if (name == "bsr") return Family::kBsr;
  if (name == "block-diagonal") return Family::kBlockDiagonal;
  Refuse("an encoding must be one of csr, bsr, block-diagonal, got ", name);
}

Tensor RequiredConstant(const Node& node, size_t index, const char* name) {
  std::optional<Tensor> tensor = node.Constant(index, name);
  Require(tensor.has_value(), name, " must be given");
  return *std::move(tensor);
}

const float* FloatData(const Tensor& tensor, size_t rank, const char* name) {
  Require(tensor.type == kFloat, name, " must be of type float32");
  CheckRank(tensor, rank, name);
  return static_cast<const float*>(tensor.data);
}

Weights ReadWeights(const Node& node, const WeightInputs& inputs) {
  Weights weights;
  switch (inputs.family) {
    case Family::kCsr:
      Read(node, inputs, weights, weights.view.emplace<CsrView>());
      break;
    case Family::kBsr:
      Read(node, inputs, weights, weights.view.emplace<BsrView>());
      break;
    case Family::kBlockDiagonal:
      Read(node, inputs, weights, weights.view.emplace<BlockDiagonalView>());
      break;
  }
  return weights;
}

WeightInputs ProductInputs(const Node& node, Family family, std::optional<Window> window) {
  return {.family = family,
          .in_features = node.Int("in_features"),
          .out_features = family == Family::kBlockDiagonal ? node.Int("out_features") : 0,
          .row_stride = node.Int("row_stride", 0),
          .col_stride = node.Int("col_stride", 0),
          .values = 1,
          .second = 2,
          .third = 3,
          .window = std::move(window)};
}

std::shared_ptr<const MatMul> PackWeights(const Node& node, const WeightInputs& inputs) {
  const Isa isa = SelectIsa();
  const Weights weights = ReadWeights(node, inputs);
  Require(weights.type != kFloat16, "values of float16 run on a GPU only");
  const Precision precision =
      weights.type == kFloat ? Precision::kFloat32 : Precision::kBfloat16;
  const auto pack = [&](const auto& view) {
    using View = std::decay_t<decltype(view)>;
    if constexpr (std::is_same_v<View, CsrView>) {
      return MakeCsrMatMul(view, isa, precision,
                           {.chain_entries = inputs.chain_entries,
                            .window = inputs.window ? &*inputs.window : nullptr});
    } else if constexpr (std::is_same_v<View, BsrView>) {
      return MakeBsrMatMul(view, isa, precision);
    } else {
      return MakeBlockDiagonalMatMul(view, isa, precision);
    }
  };
  return std::make_shared<const MatMul>(std::visit(pack, weights.view));
}

}  // namespace nfcompile::ort
