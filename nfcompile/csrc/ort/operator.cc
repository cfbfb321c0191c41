#include "ort/operator.h"

#include <memory>
#include <string>
#include <utility>

#include "ort/kernel.h"
#include "ort/layers.h"
#include "ort/shape.h"

namespace nfcompile::ort {
namespace {

constexpr size_t kInputs = 6;
constexpr size_t kRequiredInputs = 2;  // of a block-diagonal node
constexpr size_t kWeightInputs = 4;    // X and weights

// X, bias and residual are float32; values and the index inputs have several types, and so has
// the list of a chain.
int InputType(const OrtCustomOp* op, size_t index) {
  const bool several = !Operator::From(op).family() || (index >= 1 && index <= 3);
  return several ? kUndefined : kFloat;
}

int InputCharacteristic(const OrtCustomOp* op, size_t index) {
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
    const std::optional<Family> family = self.family();
    std::unique_ptr<Kernel> made;
    if (!family && self.convolves()) {
      made = std::make_unique<ImageChainKernel>(self.api(), subject, ReadImageChain(node));
    } else {
      std::optional<Window> window;
      if (self.convolves()) window = ReadWindow(node);
      made = std::make_unique<ChainKernel>(
          self.api(), subject, family ? ReadProduct(node, *family) : ReadChain(node),
          family.has_value(), std::move(window));
    }
    *kernel = made.release();
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

Operator::Operator(const Api& api, std::optional<Family> family, bool convolves,
                   bool infer_shapes)
    : OrtCustomOp{}, api_(api), family_(family), convolves_(convolves) {
  version = kApiVersion;
  GetName = [](const OrtCustomOp* op) { return From(op).name(); };
  GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  GetInputType = InputType;
  GetInputTypeCount = [](const OrtCustomOp* op) {
    return From(op).family() ? kInputs : size_t{1};
  };
  GetOutputType = [](const OrtCustomOp*, size_t) { return kFloat; };
  GetOutputTypeCount = [](const OrtCustomOp*) { return size_t{1}; };
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  GetInputCharacteristic = InputCharacteristic;
  GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return kRequired; };
  GetInputMemoryType = [](const OrtCustomOp*, size_t) { return kMemoryTypeDefault; };
  GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  CreateKernelV2 = MakeKernel;
  KernelComputeV2 = Compute;
  if (infer_shapes) InferOutputShapeFn = InferShape;
  GetStartVersion = [](const OrtCustomOp*) { return 1; };
  GetEndVersion = [](const OrtCustomOp*) { return 1; };
}

const char* Operator::name() const {
  if (!family_) return convolves_ ? "SparseConvChain" : "SparseChain";
  switch (*family_) {
    case Family::kCsr:
      return convolves_ ? "CsrConv" : "CsrMatMul";
    case Family::kBsr:
      return convolves_ ? "BsrConv" : "BsrMatMul";
    case Family::kBlockDiagonal:
      return convolves_ ? "BlockDiagonalConv" : "BlockDiagonalMatMul";
  }
  return "";
}

}  // namespace nfcompile::ort
