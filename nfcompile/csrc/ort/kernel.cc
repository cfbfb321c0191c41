#include "ort/kernel.h"

#include <atomic>
#include <new>

#include "base/aligned_buffer.h"
#include "base/text.h"

namespace nfcompile::ort {
namespace {

constexpr size_t kX = 0;
constexpr size_t kBias = 4;
constexpr size_t kResidual = 5;

// Tasks to cut a product into where its size allows: enough for the threads of a desktop, few
// enough to repeat little work where there is one thread.
constexpr int64_t kTargetTasks = 8;

// The tasks of one run, shared by the threads that take them.
struct TaskList {
  const MatMul& matmul;
  const Operands& operands;
  const Grid& grid;
  std::atomic<bool> out_of_memory = false;

  // No exception may pass through the threads of ONNX Runtime.
  void Run(int64_t task) noexcept {
    try {
      float* workspace = ThreadWorkspace(matmul.WorkspaceFloats(operands.batch));
      matmul.RunTask(operands, grid, task, workspace);
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  }
};

}  // namespace

OrtStatus* Kernel::Compute(OrtKernelContext* context) const noexcept {
  return Guard(api_, subject_, [&] { Run(context); });
}

const float* Kernel::OptionalInput(const OrtKernelContext* context, size_t index,
                                   const char* name, const std::vector<int64_t>& dims) const {
  size_t count = 0;
  api_.Call<KernelContextGetInputCount>(context, &count);
  if (index >= count) return nullptr;
  const OrtValue* value = nullptr;
  api_.Call<KernelContextGetInput>(context, index, &value);
  if (value == nullptr) return nullptr;
  const Tensor tensor = ReadTensor(api_, value);
  Require(tensor.dims == dims, name, " must have shape ", ShapeText(dims), ", got ",
          ShapeText(tensor.dims));
  return static_cast<const float*>(tensor.data);
}

void Kernel::Run(OrtKernelContext* context) const {
  const OrtValue* value = nullptr;
  api_.Call<KernelContextGetInput>(context, kX, &value);
  const Tensor x = ReadTensor(api_, value);
  const int64_t in = matmul_->in_features();
  Require(!x.dims.empty() && x.dims.back() == in, "X must have ", in,
          " elements in its last dimension, got shape ", ShapeText(x.dims));
  std::vector<int64_t> dims = x.dims;
  dims.back() = matmul_->out_features();
  OrtValue* output = nullptr;
  api_.Call<KernelContextGetOutput>(context, 0, dims.data(), dims.size(), &output);
  void* y = nullptr;
  api_.Call<GetTensorMutableData>(output, &y);

  Operands operands;
  operands.x = static_cast<const float*>(x.data);
  operands.y = static_cast<float*>(y);
  operands.batch = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) operands.batch *= dims[i];
  operands.epilogue = epilogue_;
  operands.epilogue.bias = OptionalInput(context, kBias, "bias", {matmul_->out_features()});
  operands.epilogue.residual = OptionalInput(context, kResidual, "residual", dims);
  if (operands.batch == 0 || matmul_->out_features() == 0) return;

  const Grid grid(matmul_->WorkFor(operands.batch), kTargetTasks);
  TaskList tasks{*matmul_, operands, grid};
  if (grid.tasks() == 1) {
    tasks.Run(0);
  } else {
    const auto run = [](void* list, size_t task) {
      static_cast<TaskList*>(list)->Run(static_cast<int64_t>(task));
    };
    // Zero batches: ONNX Runtime deals the tasks out one by one.
    api_.Call<KernelContextParallelFor>(context, +run, static_cast<size_t>(grid.tasks()),
                                        size_t{0}, static_cast<void*>(&tasks));
  }
  if (tasks.out_of_memory) throw std::bad_alloc();
}

}  // namespace nfcompile::ort
