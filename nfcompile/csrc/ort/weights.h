// From the constant inputs of a node to packed products.
#ifndef NFCOMPILE_ORT_WEIGHTS_H_
#define NFCOMPILE_ORT_WEIGHTS_H_

#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"
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
  size_t values = 0;          // index of the input
  size_t second = 0;          // indices or rows
  size_t third = 0;           // indptr or cols
  int64_t chain_entries = 0;  // of all layers that run on one tile; 0: of this one alone
  std::optional<Window> window = std::nullopt;  // of a convolution
};

// Weights of a node; indices belong to ONNX Runtime, and so do values of float32.
struct Weights {
  std::variant<CsrView, BsrView, BlockDiagonalView> view;
  int type = kFloat;  // in which the node stores values: float32, float16 or bfloat16
  std::vector<float> wide;
};

// Throws std::invalid_argument where inputs are absent or of other types and ranks.
Weights ReadWeights(const Node& node, const WeightInputs& inputs);

// The weights of CsrMatMul, BsrMatMul or BlockDiagonalMatMul.
WeightInputs ProductInputs(const Node& node, Family family,
                           std::optional<Window> window = std::nullopt);

// Packs weights of float32 or bfloat16 for the CPU. Throws std::invalid_argument on malformed
// ones.
std::shared_ptr<const MatMul> PackWeights(const Node& node, const WeightInputs& inputs);

// An input of float32; throws std::invalid_argument where it is of another type or rank.
const float* FloatData(const Tensor& tensor, size_t rank, const char* name);

// An input that must be there.
Tensor RequiredConstant(const Node& node, size_t index, const char* name);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_WEIGHTS_H_
