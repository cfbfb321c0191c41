#include "kernels/epilogue.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"

namespace nfcompile {
namespace {

constexpr std::array<std::pair<std::string_view, Activation>, 11> kNames{{
    {"none", Activation::kNone},
    {"relu", Activation::kRelu},
    {"leaky_relu", Activation::kLeakyRelu},
    {"clip", Activation::kClip},
    {"gelu", Activation::kGelu},
    {"gelu_tanh", Activation::kGeluTanh},
    {"silu", Activation::kSilu},
    {"sigmoid", Activation::kSigmoid},
    {"tanh", Activation::kTanh},
    {"hard_swish", Activation::kHardSwish},
    {"elu", Activation::kElu},
}};

// Written so that NaN is returned, as every comparison with it is false.
float AtLeast(float t, float low) { return t < low ? low : t; }
float AtMost(float t, float high) { return t > high ? high : t; }

float Sigmoid(float t) { return 1.0f / (1.0f + std::exp(-t)); }

}  // namespace

Activation ActivationFromName(std::string_view name) {
  std::string known;
  for (const auto& [known_name, activation] : kNames) {
    if (known_name == name) return activation;
    known += Cat(known.empty() ? "" : ", ", known_name);
  }
  Refuse("activation must be one of ", known, ", got ", name);
}

ResidualMode ResidualModeFromNumber(int64_t number) {
  Require(number >= 0 && number <= static_cast<int64_t>(ResidualMode::kMultiply),
          "residual_mode must be 0, 1 or 2, got ", number);
  return static_cast<ResidualMode>(number);
}

float Activate(const Epilogue& epilogue, float t) {
  switch (epilogue.activation) {
    case Activation::kNone:
      return t;
    case Activation::kRelu:
      return AtLeast(t, 0.0f);
    case Activation::kLeakyRelu:
      return t < 0.0f ? epilogue.alpha * t : t;
    case Activation::kClip:
      return AtMost(AtLeast(t, epilogue.alpha), epilogue.beta);
    case Activation::kGelu:
      return 0.5f * t * (1.0f + std::erf(t * 0.70710678f));
    case Activation::kGeluTanh:
      return 0.5f * t * (1.0f + std::tanh(0.79788456f * (t + 0.044715f * t * t * t)));
    case Activation::kSilu:
      return t * Sigmoid(t);
    case Activation::kSigmoid:
      return Sigmoid(t);
    case Activation::kTanh:
      return std::tanh(t);
    case Activation::kHardSwish:
      return t * AtMost(AtLeast(t * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f);
    case Activation::kElu:
      return t < 0.0f ? epilogue.alpha * (std::exp(t) - 1.0f) : t;
  }
  return t;
}

float ActivateWith(const Epilogue& epilogue, float t, float residual) {
  switch (epilogue.residual_mode) {
    case ResidualMode::kAddBefore:
      return Activate(epilogue, t + residual);
    case ResidualMode::kAddAfter:
      return Activate(epilogue, t) + residual;
    case ResidualMode::kMultiply:
      return Activate(epilogue, t) * residual;
  }
  return t;
}

float ApplyEpilogue(const Epilogue& epilogue, float acc, int64_t o, int64_t index) {
  float t = acc;
  if (epilogue.bias != nullptr) t += epilogue.bias[o];
  if (epilogue.residual == nullptr) return Activate(epilogue, t);
  return ActivateWith(epilogue, t, epilogue.residual[index]);
}

}  // namespace nfcompile
