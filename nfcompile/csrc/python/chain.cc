#include "python/chain.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "kernels/chain/chain.h"
#include "python/run.h"

namespace nfcompile::python {
namespace {

using nanobind::literals::operator""_a;

// A norm: scale, epsilon, whether it is centered.
using NormOf = std::tuple<Vector, float, bool>;
using LayerOf = std::variant<const Product*, NormOf>;

// The epilogue as keyword arguments.
struct Options {
  std::optional<Vector> bias;
  std::optional<Matrix> residual;
  std::string activation = "none";
  float alpha = 0;
  float beta = 0;
  int64_t residual_mode = 0;
  RunOptions run;
};

Epilogue MakeEpilogue(const std::string& activation, float alpha, float beta,
                      int64_t residual_mode) {
  Epilogue epilogue;
  epilogue.activation = ActivationFromName(activation);
  epilogue.alpha = alpha;
  epilogue.beta = beta;
  epilogue.residual_mode = ResidualModeFromNumber(residual_mode);
  return epilogue;
}

// A product is a chain of one layer.
Chain Alone(const Product& product, const Options& options) {
  ChainLayer layer;
  layer.matmul = product.matmul;
  layer.epilogue =
      MakeEpilogue(options.activation, options.alpha, options.beta, options.residual_mode);
  std::vector<int64_t> inputs{product.matmul->in_features};
  if (options.residual) {
    layer.residual = 1;
    inputs.push_back(product.matmul->out_features);
  }
  return Chain(std::move(inputs), {std::move(layer)});
}

void RunProduct(const Product& product, const Matrix& x, const Output& y,
                const Options& options) {
  std::vector<Matrix> inputs{x};
  if (options.residual) {
    CheckShape("residual", *options.residual, static_cast<int64_t>(x.shape(0)),
               product.matmul->out_features);
    inputs.push_back(*options.residual);
  }
  const float* bias = nullptr;
  if (options.bias) {
    const auto size = static_cast<int64_t>(options.bias->shape(0));
    Require(size == product.matmul->out_features, "bias must have shape (1, ",
            product.matmul->out_features, "), got (1, ", size, ")");
    bias = options.bias->data();
  }
  RunChain(Alone(product, options), inputs, {y}, bias, options.run);
}

Output AsOutput(Result& y) {
  const size_t shape[2] = {y.shape(0), y.shape(1)};
  return Output(y.data(), 2, shape, nb::handle());
}

Chain MakeChain(std::vector<int64_t> inputs, const std::vector<LayerOf>& layers_of,
                const std::vector<int>& sources, const std::vector<int>& residuals,
                const std::vector<std::optional<Vector>>& biases,
                const std::vector<std::string>& activations, const std::vector<float>& alphas,
                const std::vector<float>& betas, const std::vector<int64_t>& residual_modes,
                std::vector<int> outputs) {
  const size_t count = layers_of.size();
  for (const size_t size : {sources.size(), residuals.size(), biases.size(), activations.size(),
                            alphas.size(), betas.size(), residual_modes.size()}) {
    Require(size == count, "every list of a chain must have one entry per layer, ", count,
            ", got ", size);
  }
  std::vector<ChainLayer> layers(count);
  for (size_t l = 0; l < count; ++l) {
    if (const auto* product = std::get_if<const Product*>(&layers_of[l])) {
      layers[l].matmul = (*product)->matmul;
    } else {
      const auto& [scale, epsilon, centered] = std::get<NormOf>(layers_of[l]);
      const float* data = scale.data();
      layers[l].norm = std::make_shared<const Norm>(
          Norm{std::vector<float>(data, data + scale.shape(0)), epsilon, centered});
    }
    layers[l].epilogue = MakeEpilogue(activations[l], alphas[l], betas[l], residual_modes[l]);
    layers[l].source = sources[l];
    layers[l].residual = residuals[l];
    if (!biases[l]) continue;
    layers[l].bias.assign(biases[l]->data(), biases[l]->data() + biases[l]->shape(0));
  }
  return Chain(std::move(inputs), std::move(layers), std::move(outputs));
}

void BindProduct(nb::module_& m) {
  const auto run = [](const Product& self, const Matrix& x, const Output& y,
                      std::optional<Vector> bias, std::optional<Matrix> residual,
                      std::string activation, float alpha, float beta, int64_t residual_mode,
                      int64_t threads, std::string form) {
    RunProduct(self, x, y,
               {std::move(bias),
                std::move(residual),
                std::move(activation),
                alpha,
                beta,
                residual_mode,
                {threads, std::move(form)}});
  };
  const auto call = [run](const Product& self, const Matrix& x, std::optional<Vector> bias,
                          std::optional<Matrix> residual, std::string activation, float alpha,
                          float beta, int64_t residual_mode, int64_t threads,
                          std::string form) {
    Result y = NewMatrix(static_cast<int64_t>(x.shape(0)), self.matmul->out_features);
    run(self, x, AsOutput(y), std::move(bias), std::move(residual), std::move(activation),
        alpha, beta, residual_mode, threads, std::move(form));
    return y;
  };
  nb::class_<Product>(m, "Product")
      .def_prop_ro("in_features", [](const Product& p) { return p.matmul->in_features; })
      .def_prop_ro("amx_columns",
                   [](const Product& p) {
                     const auto& blocks = p.matmul->tile.blocks;
                     return blocks == nullptr ? 0 : blocks->columns;
                   })
      .def_prop_ro("panels",
                   [](const Product& p) {
                     const auto& rows = p.matmul->tile.rows;
                     return rows == nullptr ? 0 : rows->panels;
                   })
      .def_prop_ro("out_features", [](const Product& p) { return p.matmul->out_features; })
      .def_prop_ro("tile_bytes", [](const Product& p) { return p.matmul->tile.bytes(); })
      .def_prop_ro("generated",
                   [](const Product& p) { return p.matmul->code.generated != nullptr; })
      .def_prop_ro("description",
                   [](const Product& p) { return std::string(p.matmul->rows->description()); })
      .def(
          "workers",
          [](const Product& p, int64_t batch, int64_t threads) {
            return Workers(Alone(p, {}), batch, threads);
          },
          "batch"_a, nb::kw_only(), "threads"_a = 1)
      .def(
          "planned_tile",
          [](const Product& p, int64_t batch, int64_t threads) {
            return PlannedTile(Alone(p, {}), batch, threads);
          },
          "batch"_a, nb::kw_only(), "threads"_a = 1)
      .def("run", run, "x"_a.noconvert(), "y"_a.noconvert(), nb::kw_only(),
           "bias"_a = nb::none(), "residual"_a = nb::none(), "activation"_a = "none",
           "activation_alpha"_a = 0.0f, "activation_beta"_a = 0.0f, "residual_mode"_a = 0,
           "threads"_a = 1, "form"_a = "auto")
      .def("__call__", call, "x"_a, nb::kw_only(), "bias"_a = nb::none(),
           "residual"_a = nb::none(), "activation"_a = "none", "activation_alpha"_a = 0.0f,
           "activation_beta"_a = 0.0f, "residual_mode"_a = 0, "threads"_a = 1,
           "form"_a = "auto");
}

}  // namespace

void BindChain(nb::module_& m) {
  BindProduct(m);
  const auto run = [](const Chain& self, const std::vector<Matrix>& inputs,
                      const std::vector<Output>& outputs, int64_t threads, std::string form) {
    RunChain(self, inputs, outputs, nullptr, {threads, std::move(form)});
  };
  const auto convolve = [](const Chain& self, const std::vector<FourD>& inputs,
                           const FourDOutput& y, std::vector<int64_t> kernel_shape,
                           std::vector<int64_t> strides, std::vector<int64_t> dilations,
                           std::vector<int64_t> pads, int64_t threads) {
    const Window window{std::move(kernel_shape), std::move(strides), std::move(dilations),
                        std::move(pads)};
    RunImages(self, inputs, y, window, {.threads = threads});
  };
  nb::class_<Chain>(m, "Chain")
      .def(
          "__init__",
          [](Chain* self, std::vector<int64_t> inputs, const std::vector<LayerOf>& layers,
             const std::vector<int>& sources, const std::vector<int>& residuals,
             const std::vector<std::optional<Vector>>& biases,
             const std::vector<std::string>& activations, const std::vector<float>& alphas,
             const std::vector<float>& betas, const std::vector<int64_t>& residual_modes,
             std::vector<int> outputs) {
            new (self) Chain(MakeChain(std::move(inputs), layers, sources, residuals, biases,
                                       activations, alphas, betas, residual_modes,
                                       std::move(outputs)));
          },
          "inputs"_a, "layers"_a, "sources"_a, "residuals"_a, "biases"_a, "activations"_a,
          "alphas"_a, "betas"_a, "residual_modes"_a, "outputs"_a = std::vector<int>())
      .def_prop_ro("out_features", &Chain::out_features)
      .def("workers", &Workers, "batch"_a, "threads"_a = 1)
      .def("run", run, "inputs"_a, "outputs"_a.noconvert(), nb::kw_only(), "threads"_a = 1,
           "form"_a = "auto")
      .def("convolve", convolve, "inputs"_a, "y"_a.noconvert(), nb::kw_only(), "kernel_shape"_a,
           "strides"_a, "dilations"_a, "pads"_a, "threads"_a = 1);
}

}  // namespace nfcompile::python
