#include "ort/weights.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/isa.h"
#include "base/text.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"

namespace nfcompile::ort {
namespace {

void CheckRank(const Tensor& tensor, size_t rank, const char* name) {
  Require(tensor.dims.size() == rank, name, " must have rank ", rank, ", got shape ",
          ShapeText(tensor.dims));
}

// Values as floats, and the precision that they are stored in.
class Values {
 public:
  Values(const Node& node, size_t index, size_t rank)
      : tensor_(RequiredConstant(node, index, "values")) {
    if (tensor_.type != kBfloat16) {
      data_ = FloatData(tensor_, rank, "values");
      return;
    }
    CheckRank(tensor_, rank, "values");
    precision_ = Precision::kBfloat16;
    const auto* narrow = static_cast<const uint16_t*>(tensor_.data);
    for (int64_t i = 0; i < tensor_.elements(); ++i) wide_.push_back(FromBfloat16(narrow[i]));
    data_ = wide_.data();
  }

  const float* data() const { return data_; }
  Precision precision() const { return precision_; }
  int64_t size() const { return tensor_.elements(); }
  int64_t dim(size_t axis) const { return tensor_.dims[axis]; }

 private:
  Tensor tensor_;
  std::vector<float> wide_;
  const float* data_ = nullptr;
  Precision precision_ = Precision::kFloat32;
};

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

BlockSide Side(const Node& node, size_t index, const char* name, int64_t stride,
               std::optional<Tensor>& keep) {
  BlockSide side;
  keep = node.Constant(index, name);
  side.stride = stride;
  if (!keep.has_value()) return side;
  side.has_list = true;
  side.list = Indices(*keep, {kInt32}, "int32", name);
  return side;
}

MatMul PackCsrWeights(const Node& node, const WeightInputs& inputs, Isa isa) {
  const Values values(node, inputs.values, 1);
  const Tensor indices = RequiredConstant(node, inputs.second, "indices");
  const Tensor indptr = RequiredConstant(node, inputs.third, "indptr");
  return MakeCsrMatMul({.values = values.data(),
                        .nnz = values.size(),
                        .indices = ColumnIndices(indices),
                        .indptr = Indptr(indptr),
                        .in_features = inputs.in_features},
                       isa, values.precision(), inputs.generate);
}

MatMul PackBsrWeights(const Node& node, const WeightInputs& inputs, Isa isa) {
  const Values values(node, inputs.values, 3);
  const Tensor indices = RequiredConstant(node, inputs.second, "indices");
  const Tensor indptr = RequiredConstant(node, inputs.third, "indptr");
  return MakeBsrMatMul({.values = values.data(),
                        .blocks = values.dim(0),
                        .block_rows = values.dim(1),
                        .block_columns = values.dim(2),
                        .indices = ColumnIndices(indices),
                        .indptr = Indptr(indptr),
                        .in_features = inputs.in_features},
                       isa, values.precision());
}

MatMul PackBlockDiagonalWeights(const Node& node, const WeightInputs& inputs, Isa isa) {
  const Values values(node, inputs.values, 3);
  std::optional<Tensor> rows;
  std::optional<Tensor> cols;
  return MakeBlockDiagonalMatMul(
      {.values = values.data(),
       .blocks = values.dim(0),
       .block_rows = values.dim(1),
       .block_columns = values.dim(2),
       .rows = Side(node, inputs.second, "rows", inputs.row_stride, rows),
       .cols = Side(node, inputs.third, "cols", inputs.col_stride, cols),
       .in_features = inputs.in_features,
       .out_features = inputs.out_features},
      isa, values.precision());
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

std::shared_ptr<const MatMul> PackWeights(const Node& node, const WeightInputs& inputs) {
  const Isa isa = SelectIsa();
  const auto share = [](MatMul matmul) {
    return std::make_shared<const MatMul>(std::move(matmul));
  };
  switch (inputs.family) {
    case Family::kCsr:
      return share(PackCsrWeights(node, inputs, isa));
    case Family::kBsr:
      return share(PackBsrWeights(node, inputs, isa));
    case Family::kBlockDiagonal:
      return share(PackBlockDiagonalWeights(node, inputs, isa));
  }
  return nullptr;
}

}  // namespace nfcompile::ort
