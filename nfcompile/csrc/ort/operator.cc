#include "ort/operator.h"

#include <string>

#include "ort/kernel.h"
#include "ort/shape.h"

namespace nfcompile::ort {
namespace {

constexpr size_t kInputs = 6;
constexpr size_t kRequiredInputs = 2;  // of a block-diagonal node
constexpr size_t kWeightInputs = 4;    // X and weights

// X, values, bias and residual are float32; the index inputs have several types.
int InputType(const OrtCustomOp*, size_t index) {
  return index == 2 || index == 3 ? kUndefined : kFloat;
}

int InputCharacteristic(const OrtCustomOp* op, size_t index) {
  const bool rules = Operator::From(op).family() == Family::kBlockDiagonal;
  return index < (rules ? kRequiredInputs : kWeightInputs) ? kRequired : kOptional;
}

OrtStatus* MakeKernel(const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info,
                      void** kernel) {
  const Operator& self = Operator::From(op);
  const Node node(self.api(), info);
  std::string subject = self.name();
  return Guard(self.api(), subject, [&] {
    subject += " node '" + node.Name() + "'";
    *kernel =
        new Kernel(self.api(), subject, PackNode(self.family(), node), ReadEpilogue(node));
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

Operator::Operator(const Api& api, Family family, bool infer_shapes)
    : OrtCustomOp{}, api_(api), family_(family) {
  version = kApiVersion;
  GetName = [](const OrtCustomOp* op) { return From(op).name(); };
  GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  GetInputType = InputType;
  GetInputTypeCount = [](const OrtCustomOp*) { return kInputs; };
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
  switch (family_) {
    case Family::kCsr:
      return "CsrMatMul";
    case Family::kBsr:
      return "BsrMatMul";
    case Family::kBlockDiagonal:
      return "BlockDiagonalMatMul";
  }
  return "";
}

}  // namespace nfcompile::ort
