#include "ort/kernel.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "ort/layers.h"

namespace nfcompile::ort {
namespace {

constexpr size_t kX = 0;

// ONNX Runtime does not tell how many threads a session has: no more than there are cores, and
// after some runs, as many as have come.
constexpr int64_t kRunsToLearn = 8;
// Now and then all cores are called again, at calls 16, 32, 64 and every 64th: threads may have
// been late until now, as where others' work kept them from coming to the first runs.
constexpr int64_t kCallsToLookAgain = 64;

bool LooksAgain(int64_t call) {
  return call % kCallsToLookAgain == 0 || (call & (call - 1)) == 0;
}

int64_t MostThreads() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return std::clamp<int64_t>(CPU_COUNT(&cores), 1, 64);
}

}  // namespace

OrtStatus* Kernel::Compute(OrtKernelContext* context) const noexcept {
  return Guard(api_, subject_, [&] { Run(context); });
}

Tensor Kernel::RequiredInput(const OrtKernelContext* context, size_t index, const char* name,
                             int type) const {
  const OrtValue* value = nullptr;
  api_.Call<KernelContextGetInput>(context, index, &value);
  Require(value != nullptr, name, " must be given");
  Tensor tensor = ReadTensor(api_, value);
  Require(tensor.type == type, name, " must be of type ", TypeText(type));
  return tensor;
}

std::optional<Tensor> Kernel::OptionalTensor(const OrtKernelContext* context, size_t index,
                                             const char* name, int type) const {
  size_t count = 0;
  api_.Call<KernelContextGetInputCount>(context, &count);
  if (index >= count) return std::nullopt;
  const OrtValue* value = nullptr;
  api_.Call<KernelContextGetInput>(context, index, &value);
  if (value == nullptr) return std::nullopt;
  return RequiredInput(context, index, name, type);
}

const void* Kernel::OptionalInput(const OrtKernelContext* context, size_t index,
                                  const char* name, const std::vector<int64_t>& dims,
                                  int type) const {
  const std::optional<Tensor> tensor = OptionalTensor(context, index, name, type);
  if (!tensor) return nullptr;
  Require(tensor->dims == dims, name, " must have shape ", ShapeText(dims), ", got ",
          ShapeText(tensor->dims));
  return tensor->data;
}

float* Kernel::Output(OrtKernelContext* context, size_t index,
                      const std::vector<int64_t>& dims) const {
  OrtValue* output = nullptr;
  api_.Call<KernelContextGetOutput>(context, index, dims.data(), dims.size(), &output);
  void* y = nullptr;
  api_.Call<GetTensorMutableData>(output, &y);
  return static_cast<float*>(y);
}

Threads Kernel::SessionThreads() const {
  static const int64_t most = MostThreads();
  const bool learned = shared_runs_.load(std::memory_order_relaxed) >= kRunsToLearn;
  return {.most = most, .likely = learned ? most_came_.load(std::memory_order_relaxed) : most};
}

Kernel::Callees Kernel::Call(int64_t rows) const {
  const bool learned = shared_runs_.load(std::memory_order_relaxed) >= kRunsToLearn;
  const Threads all = SessionThreads();
  const int64_t call = calls_.fetch_add(1, std::memory_order_relaxed);
  if (!learned || (all.likely < all.most && LooksAgain(call))) {
    return {{all.most, all.most}, 0};
  }
  const int64_t called = all.likely == 1 ? 1 : crew_.Call(rows, all.likely);
  return {{called, called}, all.likely};
}

void Kernel::ShareAndLearn(OrtKernelContext* context, ChainRun& run, int64_t rows,
                           const Callees& callees) const {
  const int64_t called = callees.threads.most;
  const bool learns = callees.all > 1 && (run.workers() > 1 || called < callees.all);
  const auto begin = std::chrono::steady_clock::now();
  Share(context, run);
  if (!learns) return;
  const auto took = std::chrono::steady_clock::now() - begin;
  crew_.Learn(rows, callees.all, called,
              std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
}

void Kernel::Learn(int64_t came) const {
  shared_runs_.fetch_add(1, std::memory_order_relaxed);
  int64_t seen = most_came_.load(std::memory_order_relaxed);
  while (seen < came && !most_came_.compare_exchange_weak(seen, came)) {
  }
}

void ChainKernel::Run(OrtKernelContext* context) const {
  const Tensor x = RequiredInput(context, kX, "X");
  const int64_t in = chain_->features(0);
  const size_t axis = window_ ? 1 : x.dims.size() - 1;  // of the features
  std::vector<int64_t> dims = x.dims;
  Images images;
  if (window_) {
    images = MakeImages(*window_, x.dims, in);
    dims[2] = images.out_shape[0];
    dims[3] = images.out_shape[1];
  } else {
    Require(!x.dims.empty() && x.dims.back() == in, "X must have ", in,
            " elements in its last dimension, got shape ", ShapeText(x.dims));
  }
  ChainOperands operands;
  for (size_t i = 0; i < chain_->outputs().size(); ++i) {
    dims[axis] = chain_->features(chain_->outputs()[i]);
    operands.outputs.push_back(Output(context, i, dims));
  }
  operands.images = window_ ? &images : nullptr;
  operands.inputs.push_back(static_cast<const float*>(x.data));
  operands.batch = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i != axis) operands.batch *= dims[i];
  }
  for (int64_t i = 1; !is_product_ && i < chain_->inputs(); ++i) {
    std::vector<int64_t> shape = dims;
    shape[axis] = chain_->features(static_cast<int>(i));
    const void* input = OptionalInput(context, static_cast<size_t>(i), "an activation", shape);
    Require(input != nullptr || operands.batch == 0, "activation ", i, " must be given");
    operands.inputs.push_back(static_cast<const float*>(input));
  }
  if (is_product_) {
    operands.bias =
        static_cast<const float*>(OptionalInput(context, kBiasInput, "bias", {dims[axis]}));
    const void* residual = OptionalInput(context, kResidualInput, "residual", dims);
    if (residual != nullptr) operands.inputs.push_back(static_cast<const float*>(residual));
  }
  if (operands.batch == 0 || chain_->empty()) return;
  const Callees callees = Call(operands.batch);
  ChainRun run(*chain_, operands, callees.threads);
  ShareAndLearn(context, run, operands.batch, callees);
}

void ImageChainKernel::Run(OrtKernelContext* context) const {
  std::vector<std::vector<int64_t>> dims;
  std::vector<const float*> inputs;
  for (int64_t i = 0; i < chain_->inputs(); ++i) {
    const Tensor x = RequiredInput(context, static_cast<size_t>(i), "an activation");
    Require(x.dims.size() == 4, "an activation must have 4 dimensions, got shape ",
            ShapeText(x.dims));
    Require(i == 0 || x.dims[0] == dims[0][0], "activations must have as many images, ",
            dims.empty() ? 0 : dims[0][0], ", got shape ", ShapeText(x.dims));
    dims.push_back(x.dims);
    inputs.push_back(static_cast<const float*>(x.data));
  }
  ImageRun run(*chain_, std::move(dims), SessionThreads());
  float* y = Output(context, 0, run.y_dims());
  if (run.empty()) return;
  run.SetOperands(std::move(inputs), y);
  Share(context, run);
}

}  // namespace nfcompile::ort
