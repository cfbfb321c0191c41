#include "ort/operator.h"

#include <memory>
#include <string>
#include <utility>

#include "ort/shape.h"

namespace nfcompile::ort {
namespace {

constexpr size_t kInputs = 6;
constexpr size_t kAttentionInputs = 4;  // the last one is optional
constexpr size_t kRequiredInputs = 2;   // of a block-diagonal node
constexpr size_t kFirstWeight = 1;
constexpr size_t kWeightInputs = 4;  // X and weights

// X, bias and residual are of one type, and so is all of attention; values and the index inputs
// have several, and so has the list of a chain.
int InputType(const OrtCustomOp* op, size_t index) {
  const bool several =
      !Operator::From(op).attends() &&
      (!Operator::From(op).family() || (index >= kFirstWeight && index < kWeightInputs));
  return several ? kUndefined : Operator::From(op).traits().type;
}

// Weights stay in the host's memory, from where they are packed.
int InputMemoryType(const OrtCustomOp*, size_t index) {
  return index >= kFirstWeight && index < kWeightInputs ? kMemoryTypeCpuInput
                                                        : kMemoryTypeDefault;
}

int InputCharacteristic(const OrtCustomOp* op, size_t index) {
  if (Operator::From(op).attends()) return index + 1 < kAttentionInputs ? kRequired : kOptional;
  const std::optional<Family> family = Operator::From(op).family();
  if (!family) return kVariadic;
  const bool rules = *family == Family::kBlockDiagonal;
  return index < (rules ? kRequiredInputs : kWeightInputs) ? kRequired : kOptional;
}

OrtStatus* MakeKernel(const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info,
                      void** kernel) {
  const Operator& self = Operator::From(op);
  const Node node(self.api(), info);
  std::string subject = self.name();
  return Guard(self.api(), subject, [&] {
    subject += " node '" + node.Name() + "'";
    *kernel = self.traits().make(self, node, subject).release();
  });
}

OrtStatus* Compute(void* kernel, OrtKernelContext* context) {
  return static_cast<const Kernel*>(kernel)->Compute(context);
}

OrtStatus* InferShape(const OrtCustomOp* op, OrtShapeInferContext* context) {
  const Operator& self = Operator::From(op);
  return Guard(self.api(), self.name(), [&] { InferOutputShape(self, context); });
}

}  // namespace

Operator::Operator(const Api& api, const Traits& traits, bool infer_shapes)
    : OrtCustomOp{}, api_(api), traits_(traits) {
  version = kApiVersion;
  GetName = [](const OrtCustomOp* op) { return From(op).name(); };
  GetExecutionProviderType = [](const OrtCustomOp* op) { return From(op).traits().provider; };
  GetInputType = InputType;
  GetInputTypeCount = [](const OrtCustomOp* op) {
    if (From(op).attends()) return kAttentionInputs;
    return From(op).family() ? kInputs : size_t{1};
  };
  GetOutputType = [](const OrtCustomOp* op, size_t) { return From(op).traits().type; };
  GetOutputTypeCount = [](const OrtCustomOp*) { return size_t{1}; };
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  GetInputCharacteristic = InputCharacteristic;
  GetOutputCharacteristic = [](const OrtCustomOp* op, size_t) {
    return From(op).gives_several() ? kVariadic : kRequired;
  };
  GetInputMemoryType = InputMemoryType;
  GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  CreateKernelV2 = MakeKernel;
  KernelComputeV2 = Compute;
  if (infer_shapes) InferOutputShapeFn = InferShape;
  GetStartVersion = [](const OrtCustomOp*) { return 1; };
  GetEndVersion = [](const OrtCustomOp*) { return 1; };
}

const char* Operator::name() const {
  if (attends()) return "MultiHeadAttention";
  if (!family()) return convolves() ? "SparseConvChain" : "SparseChain";
  switch (*family()) {
    case Family::kCsr:
      return convolves() ? "CsrConv" : "CsrMatMul";
    case Family::kBsr:
      return convolves() ? "BsrConv" : "BsrMatMul";
    case Family::kBlockDiagonal:
      return convolves() ? "BlockDiagonalConv" : "BlockDiagonalMatMul";
  }
  return "";
}

}  // namespace nfcompile::ort
