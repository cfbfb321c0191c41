// The three operators of domain `nfcompile`, version 1, for the CPU execution provider:
//
//   CsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BsrMatMul            (X, values, indices, indptr, bias?, residual?) -> Y
//   BlockDiagonalMatMul  (X, values, rows?, cols?,    bias?, residual?) -> Y
//
// X [..., in] and Y [..., out] are float32 of any rank >= 1. Weights (inputs 1 to 3) must be
// constant initializers; bias [out] and residual (of Y's shape) may change from run to run.
#ifndef NFCOMPILE_ORT_OPERATOR_H_
#define NFCOMPILE_ORT_OPERATOR_H_

#include "ort/api.h"
#include "ort/weights.h"

namespace nfcompile::ort {

// Lives as long as the domain that it is added to.
class Operator : public OrtCustomOp {
 public:
  // `infer_shapes`: whether this onnxruntime can ask for the output's shape (see register.cc).
  Operator(const Api& api, Family family, bool infer_shapes);

  const Api& api() const { return api_; }
  Family family() const { return family_; }
  const char* name() const;

  static const Operator& From(const OrtCustomOp* op) {
    return static_cast<const Operator&>(*op);
  }

 private:
  Api api_;
  Family family_;
};

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_OPERATOR_H_
