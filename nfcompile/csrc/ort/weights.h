// From the constant inputs of a node to packed products.
#ifndef NFCOMPILE_ORT_WEIGHTS_H_
#define NFCOMPILE_ORT_WEIGHTS_H_

#include <memory>
#include <string_view>

#include "kernels/matmul.h"
#include "ort/node.h"

namespace nfcompile::ort {

enum class Family { kCsr, kBsr, kBlockDiagonal };

// "csr", "bsr" or "block-diagonal"; throws std::invalid_argument for another name.
Family FamilyFromName(std::string_view name);

// Where the weights of one layer stand in a node.
struct WeightInputs {
  Family family = Family::kCsr;
  int64_t in_features = 0;
  int64_t out_features = 0;  // block-diagonal: the number of outputs; else not read
  int64_t row_stride = 0;    // block-diagonal: of the rule; 0 where a list is given
  int64_t col_stride = 0;
  size_t values = 0;     // index of the input
  size_t second = 0;     // indices or rows
  size_t third = 0;      // indptr or cols
  bool generate = true;  // whether code may be generated for CSR
};

// Throws std::invalid_argument on malformed weights.
std::shared_ptr<const MatMul> PackWeights(const Node& node, const WeightInputs& inputs);

// An input of float32; throws std::invalid_argument where it is of another type or rank.
const float* FloatData(const Tensor& tensor, size_t rank, const char* name);

// An input that must be there.
Tensor RequiredConstant(const Node& node, size_t index, const char* name);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_WEIGHTS_H_
