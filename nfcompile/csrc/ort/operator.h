// The operators of domain `nfcompile`, version 1, for the CPU execution provider:
//
//   CsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BlockDiagonalMatMul  (X, values, rows?, cols?,    bias?, residual?) -> Y
//   SparseChain          (X ..., weights and biases of each layer ...)  -> Y
//   CsrConv, BsrConv, BlockDiagonalConv, SparseConvChain: inputs as of the products
//
// X [..., in] and Y [..., out] of a product are float32 of any rank >= 1; X [n, channels, h, w]
// and Y [n, out, h', w'] of a convolution too, with in = channels * kernel size. Weights must
// be constant initializers, values float32 or bfloat16; bias [out] and residual (of Y's shape)
// of a product may change from run to run.
#ifndef NFCOMPILE_ORT_OPERATOR_H_
#define NFCOMPILE_ORT_OPERATOR_H_

#include <optional>

#include "ort/api.h"
#include "ort/weights.h"

namespace nfcompile::ort {

// Lives as long as the domain that it is added to.
class Operator : public OrtCustomOp {
 public:
  // `infer_shapes`: whether this onnxruntime can ask for the output's shape (see register.cc).
  // No family: a chain.
  Operator(const Api& api, std::optional<Family> family, bool convolves, bool infer_shapes);

  const Api& api() const { return api_; }
  std::optional<Family> family() const { return family_; }
  bool convolves() const { return convolves_; }
  const char* name() const;

  static const Operator& From(const OrtCustomOp* op) {
    return static_cast<const Operator&>(*op);
  }

 private:
  Api api_;
  std::optional<Family> family_;
  bool convolves_;
};

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_OPERATOR_H_
