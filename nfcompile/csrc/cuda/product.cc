#include "cuda/product.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "base/partition.h"
#include "base/text.h"
#include "cuda/loaded_kernels.h"

namespace nfcompile::cuda {
namespace {

constexpr int64_t kMostPrograms = 65535;  // along the second axis of a grid
constexpr DevicePointer kAlignment = 16;
constexpr unsigned kLanes = 32;
constexpr size_t kMostArguments = 24;  // a kernel has 17 at most

// A program with so many sums has a multiprocessor to itself, so that nothing runs while it
// starts and ends: measured with blocks of 64 and 128, it takes a fifth longer for as many
// bytes.
constexpr int64_t kSumsAlone = 1 << 15;
constexpr int64_t kAloneCost = 6;
constexpr int64_t kSharedCost = 5;

DeviceArray UploadList(const std::vector<int32_t>& list, bool narrow) {
  if (!narrow) return {list.data(), list.size() * sizeof(int32_t)};
  const std::vector<uint16_t> halves(list.begin(), list.end());
  return {halves.data(), halves.size() * sizeof(uint16_t)};
}

void CheckAligned(DevicePointer pointer, const char* name) {
  Require(pointer % kAlignment == 0, name, " must lie at a multiple of ", kAlignment,
          " bytes, got ", pointer);
}

}  // namespace

Product::Product(const Packed& packed, const Types& types)
    : in_features_(packed.in_features),
      out_features_(packed.out_features),
      units_(packed.units),
      x_type_(types.x),
      strides_(packed.strides) {
  CurrentContext();
  DeviceId device = 0;
  Check(GetDriver().context_device(&device), "tell the current device");
  Check(GetDriver().device_attribute(&multiprocessors_, kMultiprocessors, device),
        "tell the number of multiprocessors");
  for (const Image& image : Images()) {
    if (!Fits(packed, types, image)) continue;
    const auto same = [&](const Kernel& kernel) {
      return kernel.image->constants.batch == image.constants.batch;
    };
    // A symbol has an image per architecture; what fits best stands first.
    if (std::any_of(kernels_.begin(), kernels_.end(), same)) continue;
    const LoadedKernel loaded = LoadKernel(image.symbol);
    if (loaded.image != nullptr) kernels_.push_back({loaded.image, loaded.function});
  }
  Require(!kernels_.empty(), "no kernel computes ", packed.kernel, " with activations in ",
          Name(types.x), " and weights in ", Name(types.values));
  std::sort(kernels_.begin(), kernels_.end(), [](const Kernel& a, const Kernel& b) {
    return a.image->constants.batch < b.image->constants.batch;
  });
  const auto stored = static_cast<int64_t>(packed.values.size());
  const std::vector<std::byte> values = Narrow(packed.values.data(), stored, types.values);
  arrays_.emplace_back(values.data(), values.size());
  for (size_t i = 0; i < packed.lists.size(); ++i) {
    arrays_.push_back(UploadList(packed.lists[i], packed.narrow && i == 1));
  }
  for (const DeviceArray& array : arrays_) pointers_.push_back(array.pointer());
}

const Product::Kernel& Product::Pick(int64_t batch) const {
  // One that computes single rows would read the weights anew for each.
  const bool single = kernels_[0].image->constants.batch == 1;
  if (kernels_.size() == 1 || (single && batch == 1)) return kernels_[0];
  const int64_t most = std::max(1, multiprocessors_);
  const auto cost = [&](const Kernel& kernel) {
    const Constants& constants = kernel.image->constants;
    const int64_t programs =
        CeilDiv(units_, constants.units()) * CeilDiv(batch, constants.batch);
    const bool alone = constants.batch * constants.outputs() >= kSumsAlone;
    return CeilDiv(programs, most) * (constants.batch + constants.weight_rows()) *
           std::max(constants.group, 1) * (alone ? kAloneCost : kSharedCost);
  };
  // Of two that cost as much, that for fewer rows.
  return *std::min_element(kernels_.begin() + (single ? 1 : 0), kernels_.end(),
                           [&](const Kernel& a, const Kernel& b) { return cost(a) < cost(b); });
}

const Product::Kernel& Product::Named(std::string_view symbol) const {
  for (const Kernel& kernel : kernels_) {
    if (kernel.image->symbol == symbol) return kernel;
  }
  throw std::invalid_argument(Cat("no kernel of this product is named ", symbol));
}

std::vector<std::string> Product::Symbols() const {
  std::vector<std::string> symbols;
  for (const Kernel& kernel : kernels_) symbols.emplace_back(kernel.image->symbol);
  return symbols;
}

void Product::Launch(const Operands& operands, const Epilogue& epilogue, Stream stream,
                     std::string_view symbol) const {
  const Kernel& kernel = symbol.empty() ? Pick(operands.batch) : Named(symbol);
  if (operands.batch == 0 || out_features_ == 0) return;
  CheckAligned(operands.x, "x");
  CheckAligned(operands.bias, "bias");
  CheckAligned(operands.residual, "residual");
  CheckAligned(operands.y, "y");
  const Image& image = *kernel.image;
  const auto in = static_cast<int32_t>(in_features_);
  const auto out = static_cast<int32_t>(out_features_);
  const auto activation = static_cast<int32_t>(epilogue.activation);
  const int32_t has_bias = operands.bias != 0 ? 1 : 0;
  const auto mode = static_cast<int32_t>(epilogue.residual_mode);
  const int32_t residual_mode = operands.residual != 0 ? 1 + mode : 0;
  const int64_t units = image.constants.units();
  const int64_t rows = image.constants.batch;
  for (int64_t first = 0; first < operands.batch; first += kMostPrograms * rows) {
    const int64_t count = std::min(operands.batch - first, kMostPrograms * rows);
    const auto skip = [&](DevicePointer pointer, int64_t features) {
      return pointer == 0 ? 0 : pointer + first * features * Bytes(x_type_);
    };
    const auto batch = static_cast<int32_t>(count);
    const DevicePointer x = skip(operands.x, in_features_);
    const DevicePointer residual = skip(operands.residual, out_features_);
    const DevicePointer y = skip(operands.y, out_features_);
    const DevicePointer scratch = 0;  // two pointers that Triton adds, and these never use
    std::array<const void*, kMostArguments> arguments;
    size_t used = 0;
    const auto pass = [&](const auto& argument) { arguments[used++] = &argument; };
    pass(x);
    for (const DevicePointer& pointer : pointers_) pass(pointer);
    pass(operands.bias);
    pass(residual);
    pass(y);
    for (const int32_t& stride : strides_) pass(stride);
    pass(batch);
    pass(in);
    pass(out);
    pass(activation);
    pass(epilogue.alpha);
    pass(epilogue.beta);
    pass(has_bias);
    pass(residual_mode);
    pass(scratch);
    pass(scratch);
    // The driver reads the arguments before it returns, and changes none of them.
    Check(GetDriver().launch(kernel.function, static_cast<unsigned>(CeilDiv(units_, units)),
                             static_cast<unsigned>(CeilDiv(count, rows)), 1,
                             kLanes * static_cast<unsigned>(image.warps), 1, 1,
                             static_cast<unsigned>(image.shared_bytes), stream,
                             const_cast<void**>(arguments.data()), nullptr),
          "launch a kernel");
  }
}

}  // namespace nfcompile::cuda
