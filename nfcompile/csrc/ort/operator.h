// The operators of domain `nfcompile`, version 1:
//
//   CsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BlockDiagonalMatMul  (X, values, rows?, cols?,    bias?, residual?) -> Y
//   SparseChain          (X ..., weights and biases of each layer ...)  -> Y ...
//   CsrConv, BsrConv, BlockDiagonalConv, SparseConvChain: inputs as of the products
//   MultiHeadAttention   (Q, K, V, bias?) -> Y
//
// X [..., in] and Y [..., out] of a product are float32 of any rank >= 1; X [n, channels, h, w]
// and Y [n, out, h', w'] of a convolution too, with in = channels * kernel size. Weights must
// be constant initializers, values float32 or bfloat16; bias [out] and residual (of Y's shape)
// of a product may change from run to run. Products for CUDA take X, bias, residual and Y of
// float16 or bfloat16, too.
//
// Attention is float32: Q [b, s, heads * d], K [b, t, heads * d], V [b, t, heads * e] and
// Y [b, s, heads * e]; bias [b, heads, s, t], or 1 for some of it.
#ifndef NFCOMPILE_ORT_OPERATOR_H_
#define NFCOMPILE_ORT_OPERATOR_H_

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "ort/api.h"
#include "ort/kernel.h"
#include "ort/node.h"
#include "ort/weights.h"

namespace nfcompile::ort {

class Operator;

// What one operator is, for one execution provider and type of activations.
struct Traits {
  std::optional<Family> family;  // none: a chain, or attention
  bool convolves = false;
  bool attends = false;
  int type = kFloat;
  const char* provider = "CPUExecutionProvider";
  // Throws std::invalid_argument on malformed nodes. `subject` begins messages.
  std::unique_ptr<Kernel> (*make)(const Operator& op, const Node& node,
                                  std::string subject) = nullptr;
};

// Lives as long as the domain that it is added to.
class Operator : public OrtCustomOp {
 public:
  // `infer_shapes`: whether this onnxruntime can ask for the output's shape (see register.cc).
  Operator(const Api& api, const Traits& traits, bool infer_shapes);

  const Api& api() const { return api_; }
  std::optional<Family> family() const { return traits_.family; }
  bool convolves() const { return traits_.convolves; }
  bool gives_several() const { return !family() && !convolves() && !attends(); }
  bool attends() const { return traits_.attends; }
  const Traits& traits() const { return traits_; }
  const char* name() const;

  static const Operator& From(const OrtCustomOp* op) {
    return static_cast<const Operator&>(*op);
  }

 private:
  Api api_;
  Traits traits_;
};

// The operators of this library, those for the CPU first. Each library has its own.
std::list<Operator> MakeOperators(const Api& api, bool infer_shapes);

// Appends the products where `products`, and all others, for the CPU.
void AddCpuOperators(const Api& api, bool infer_shapes, bool products,
                     std::list<Operator>& operators);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_OPERATOR_H_
