#include "ort/layers.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"

namespace nfcompile::ort {

Epilogue ReadEpilogue(const Node& node) {
  return {.activation = ActivationFromName(node.String("activation", "none")),
          .residual_mode = ResidualModeFromNumber(node.Int("residual_mode", 0)),
          .alpha = node.Float("activation_alpha", 0.0f),
          .beta = node.Float("activation_beta", 0.0f)};
}

std::unique_ptr<Chain> ReadProduct(const Node& node, Family family,
                                   const std::optional<Window>& window) {
  ChainLayer layer;
  layer.matmul = PackWeights(node, ProductInputs(node, family, window));
  layer.epilogue = ReadEpilogue(node);
  std::vector<int64_t> inputs{layer.matmul->in_features};
  if (!node.InputName(kResidualInput).empty()) {
    layer.residual = 1;
    inputs.push_back(layer.matmul->out_features);
  }
  std::vector<ChainLayer> layers;
  layers.push_back(std::move(layer));
  return std::make_unique<Chain>(std::move(inputs), std::move(layers));
}

Window ReadWindow(const Node& node) {
  const Window window{.kernel_shape = node.Ints("kernel_shape", 2),
                      .strides = node.Ints("strides", 2),
                      .dilations = node.Ints("dilations", 2),
                      .pads = node.Ints("pads", 4)};
  Check(window);
  return window;
}

namespace {

// Layers of a chain, and what each input of `inputs` holds.
struct Layers {
  std::vector<ChainLayer> layers;
  std::vector<int64_t> features;
};

// Elements of all floating-point constants of a node: its values, and the few of its biases.
int64_t Values(const Node& node) {
  int64_t values = 0;
  for (size_t i = static_cast<size_t>(node.Int("inputs", 1)); i < node.InputCount(); ++i) {
    const std::optional<Tensor> tensor = node.Constant(i, "weights");
    if (tensor && tensor->type == kFloat) values += tensor->elements();
  }
  return values;
}

bool IsNorm(const std::string& encoding) {
  return encoding == "layer-norm" || encoding == "rms-norm";
}

// A norm whose scale is input `input`.
std::shared_ptr<const Norm> ReadNorm(const Node& node, size_t input,
                                     const std::string& encoding, float epsilon) {
  const Tensor scale = RequiredConstant(node, input, "scale");
  const float* data = FloatData(scale, 1, "scale");
  return std::make_shared<const Norm>(
      Norm{.scale = std::vector<float>(data, data + scale.elements()),
           .epsilon = epsilon,
           .centered = encoding == "layer-norm"});
}

// `windows`: of convolutions; without them, all layers run on one tile before the next begins.
Layers ReadLayers(const Node& node, const std::vector<Window>* windows) {
  const std::vector<std::string> encodings = node.Words("encodings");
  const size_t count = encodings.size();
  const auto in_features = node.Ints("in_features", count);
  const auto out_features = node.Ints("out_features", count);
  const auto row_strides = node.Ints("row_strides", count);
  const auto col_strides = node.Ints("col_strides", count);
  const auto has_bias = node.Ints("has_bias", count);
  const auto sources = node.Ints("sources", count);
  const auto residuals = node.Ints("residuals", count);
  const auto modes = node.Ints("residual_modes", count);
  const auto alphas = node.Floats("activation_alphas", count);
  const auto betas = node.Floats("activation_betas", count);
  const bool norms =
      windows == nullptr && std::any_of(encodings.begin(), encodings.end(), IsNorm);
  const std::vector<float> epsilons =
      norms ? node.Floats("epsilons", count) : std::vector<float>();
  const auto activations = node.Words("activations");
  Require(activations.size() == count, "attribute activations must have ", count,
          " entries, one per layer, got ", activations.size());
  const int64_t chain_entries = windows == nullptr ? Values(node) : 0;
  std::vector<ChainLayer> layers(count);
  const auto inputs = static_cast<size_t>(node.Int("inputs", 1));
  size_t input = inputs;  // the weights follow the activations, layer by layer
  for (size_t l = 0; l < count; ++l) {
    ChainLayer& layer = layers[l];
    layer.source = static_cast<int>(sources[l]);
    layer.residual = static_cast<int>(residuals[l]);
    const auto read_bias = [&] {
      if (has_bias[l] == 0) return;
      const Tensor bias = RequiredConstant(node, input++, "bias");
      const float* data = FloatData(bias, 1, "bias");
      layer.bias.assign(data, data + bias.elements());
    };
    if (windows == nullptr && IsNorm(encodings[l])) {
      Require(activations[l] == "none", "layer ", l,
              " is a norm, which has no activation, got ", activations[l]);
      layer.norm = ReadNorm(node, input++, encodings[l], epsilons[l]);
      Require(in_features[l] == layer.norm->features() && out_features[l] == in_features[l],
              "layer ", l, " must normalize ", in_features[l], " features, got a scale of ",
              layer.norm->features());
      read_bias();
      continue;
    }
    const Family family = FamilyFromName(encodings[l]);
    const bool diagonal = family == Family::kBlockDiagonal;
    const size_t absent = node.InputCount();  // of a list that a stride stands for
    WeightInputs weights{.family = family,
                         .in_features = in_features[l],
                         .out_features = out_features[l],
                         .row_stride = row_strides[l],
                         .col_stride = col_strides[l],
                         .values = input++,
                         .second = absent,
                         .third = absent,
                         .chain_entries = chain_entries};
    if (windows != nullptr) weights.window = (*windows)[l];
    if (!diagonal || row_strides[l] == 0) weights.second = input++;
    if (!diagonal || col_strides[l] == 0) weights.third = input++;
    layer.matmul = PackWeights(node, weights);
    Require(layer.matmul->out_features == out_features[l], "layer ", l, " must give ",
            out_features[l], " features, got ", layer.matmul->out_features);
    read_bias();
    layer.epilogue.activation = ActivationFromName(activations[l]);
    layer.epilogue.alpha = alphas[l];
    layer.epilogue.beta = betas[l];
    layer.epilogue.residual_mode = ResidualModeFromNumber(modes[l]);
  }
  // What an input holds is told by the layers that read it.
  std::vector<int64_t> features(inputs, -1);
  for (size_t l = 0; l < count; ++l) {
    const auto is_input = [&](int64_t slot) {
      return slot >= 0 && slot < static_cast<int64_t>(inputs);
    };
    if (is_input(sources[l])) features[sources[l]] = in_features[l];
    if (is_input(residuals[l])) features[residuals[l]] = out_features[l];
  }
  for (size_t i = 0; i < inputs; ++i) {
    Require(features[i] >= 0, "activation ", i, " must be read by a layer");
  }
  return {std::move(layers), std::move(features)};
}

}  // namespace

std::unique_ptr<Chain> ReadChain(const Node& node) {
  Layers read = ReadLayers(node, nullptr);
  const std::vector<int64_t> slots = node.Ints("outputs");
  const size_t outputs = node.OutputCount();
  Require(outputs == std::max<size_t>(slots.size(), 1), "attribute outputs must name ", outputs,
          " slots, one per output, got ", slots.size());
  return std::make_unique<Chain>(std::move(read.features), std::move(read.layers),
                                 std::vector<int>(slots.begin(), slots.end()));
}

std::unique_ptr<ImageChain> ReadImageChain(const Node& node) {
  const size_t count = node.Words("encodings").size();
  const auto kernels = node.Ints("kernel_shapes", 2 * count);
  const auto strides = node.Ints("strides", 2 * count);
  const auto dilations = node.Ints("dilations", 2 * count);
  const auto pads = node.Ints("pads", 4 * count);
  const auto part = [](const std::vector<int64_t>& list, size_t l, size_t size) {
    const auto begin = list.begin() + static_cast<std::ptrdiff_t>(l * size);
    return std::vector<int64_t>(begin, begin + static_cast<std::ptrdiff_t>(size));
  };
  std::vector<Window> windows;
  for (size_t l = 0; l < count; ++l) {
    windows.push_back({.kernel_shape = part(kernels, l, 2),
                       .strides = part(strides, l, 2),
                       .dilations = part(dilations, l, 2),
                       .pads = part(pads, l, 4)});
    Check(windows.back());
  }
  Layers read = ReadLayers(node, &windows);
  return std::make_unique<ImageChain>(static_cast<int64_t>(read.features.size()),
                                      std::move(read.layers), std::move(windows));
}

}  // namespace nfcompile::ort
