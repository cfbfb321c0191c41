#include "python/cuda.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>
#include <string>

#include "cuda/driver.h"
#include "cuda/product.h"
#include "python/arrays.h"
#include "python/run.h"
#include "python/views.h"

namespace nfcompile::python {
namespace {

using cuda::Check;
using cuda::DeviceArray;
using cuda::DevicePointer;
using cuda::ElementTypeFromName;
using cuda::GetDriver;
using cuda::Product;
using nanobind::literals::operator""_a;

std::string Available() {
  if (cuda::Images().empty()) return "libnfcompile_ops_cuda.so is not built";
  return cuda::DriverProblem();
}

nb::dict Device() {
  const cuda::Driver& driver = GetDriver();
  cuda::CurrentContext();
  cuda::DeviceId device = 0;
  Check(driver.context_device(&device), "tell the current device");
  std::array<char, 256> name{};
  size_t memory = 0;
  int version = 0;
  Check(driver.device_name(name.data(), name.size(), device), "tell a name");
  Check(driver.device_memory(&memory, device), "tell the size of memory");
  Check(driver.driver_version(&version), "tell its version");
  const auto attribute = [&](int which) {
    int value = 0;
    Check(driver.device_attribute(&value, which, device), "tell an attribute");
    return value;
  };
  nb::dict told;
  told["name"] = std::string(name.data());
  told["sm"] = 10 * attribute(cuda::kComputeMajor) + attribute(cuda::kComputeMinor);
  told["multiprocessors"] = attribute(cuda::kMultiprocessors);
  told["memory_bytes"] = memory;
  told["l2_bytes"] = attribute(cuda::kL2CacheBytes);
  told["driver_version"] = version;
  return told;
}

template <typename View>
std::unique_ptr<Product> Make(const View& view, const std::string& precision,
                              const std::string& x_type) {
  const cuda::Types types{.x = ElementTypeFromName(x_type),
                          .values = ElementTypeFromName(precision)};
  return std::make_unique<Product>(cuda::Pack(view, types), types);
}

DeviceArray Upload(const Product& product, const float* values, int64_t count) {
  const std::vector<std::byte> elements = cuda::Narrow(values, count, product.x_type());
  return {elements.data(), elements.size()};
}

Result Run(const Product& product, const Matrix& x, const std::optional<Vector>& bias,
           const std::optional<Matrix>& residual, const std::string& activation, float alpha,
           float beta, int64_t residual_mode, const std::string& kernel) {
  const auto batch = static_cast<int64_t>(x.shape(0));
  const int64_t out = product.out_features();
  CheckShape("x", x, batch, product.in_features());
  if (residual) CheckShape("residual", *residual, batch, out);
  Require(!bias || static_cast<int64_t>(bias->shape(0)) == out, "bias must have ", out,
          " entries");
  Result y = NewMatrix(batch, out);
  const nb::gil_scoped_release release;
  cuda::CurrentContext();  // this thread may have none
  const DeviceArray device_x = Upload(product, x.data(), batch * product.in_features());
  const DeviceArray device_y(batch * out * cuda::Bytes(product.x_type()));
  std::optional<DeviceArray> device_bias;
  std::optional<DeviceArray> device_residual;
  cuda::Operands operands{.x = device_x.pointer(), .y = device_y.pointer(), .batch = batch};
  if (bias) operands.bias = device_bias.emplace(Upload(product, bias->data(), out)).pointer();
  if (residual) {
    operands.residual =
        device_residual.emplace(Upload(product, residual->data(), batch * out)).pointer();
  }
  product.Launch(operands,
                 {.activation = ActivationFromName(activation),
                  .residual_mode = ResidualModeFromNumber(residual_mode),
                  .alpha = alpha,
                  .beta = beta},
                 nullptr, kernel);
  std::vector<std::byte> elements(batch * out * cuda::Bytes(product.x_type()));
  Check(GetDriver().synchronize(nullptr), "run a kernel");
  Check(GetDriver().download(elements.data(), device_y.pointer(), elements.size()),
        "copy from the device");
  const std::vector<float> wide = cuda::Widen(elements.data(), batch * out, product.x_type());
  std::copy(wide.begin(), wide.end(), y.data());
  return y;
}

void Launch(const Product& product, uintptr_t x, uintptr_t y, int64_t batch, uintptr_t stream,
            uintptr_t bias, const std::string& activation, float alpha, float beta) {
  cuda::CurrentContext();  // this thread may have none
  product.Launch({.x = x, .bias = bias, .y = y, .batch = batch},
                 {.activation = ActivationFromName(activation), .alpha = alpha, .beta = beta},
                 reinterpret_cast<cuda::Stream>(stream));
}

// Products of values with indices and the starts of rows.
template <typename Values, auto kToView>
void BindIndexed(nb::module_& m, const char* name) {
  m.def(
      name,
      [](const Values& values, const Integers& indices, const Integers& indptr,
         int64_t in_features, const std::string& precision, const std::string& x_type) {
        return Make(kToView(values, indices, indptr, in_features), precision, x_type);
      },
      "values"_a, "indices"_a, "indptr"_a, "in_features"_a, "precision"_a = "f32",
      "x_type"_a = "f32");
}

}  // namespace

void BindCuda(nb::module_& parent) {
  nb::module_ m = parent.def_submodule("cuda", "Sparse products on CUDA devices.");
  m.def("available", &Available);
  m.def("device", &Device);
  nb::class_<Product>(m, "Product")
      .def_prop_ro("in_features", &Product::in_features)
      .def_prop_ro("out_features", &Product::out_features)
      .def("kernel", &Product::Symbol, "batch"_a)
      .def("kernels", &Product::Symbols)
      .def("run", &Run, "x"_a, "bias"_a.none() = nb::none(), "residual"_a.none() = nb::none(),
           "activation"_a = "none", "alpha"_a = 0.0f, "beta"_a = 0.0f, "residual_mode"_a = 0,
           "kernel"_a = "")
      .def("launch", &Launch, "x"_a, "y"_a, "batch"_a, "stream"_a = 0, "bias"_a = 0,
           "activation"_a = "none", "alpha"_a = 0.0f, "beta"_a = 0.0f);
  BindIndexed<Vector, ToCsr>(m, "CsrProduct");
  BindIndexed<Blocks, ToBsr>(m, "BsrProduct");
  m.def(
      "BlockDiagonalProduct",
      [](const Blocks& values, const std::optional<Integers>& rows,
         const std::optional<Integers>& cols, int64_t row_stride, int64_t col_stride,
         int64_t in_features, int64_t out_features, const std::string& precision,
         const std::string& x_type) {
        return Make(ToBlockDiagonal(values, rows, cols, in_features, out_features, row_stride,
                                    col_stride),
                    precision, x_type);
      },
      "values"_a, "rows"_a.none(), "cols"_a.none(), "row_stride"_a, "col_stride"_a,
      "in_features"_a, "out_features"_a, "precision"_a = "f32", "x_type"_a = "f32");
}

}  // namespace nfcompile::python
