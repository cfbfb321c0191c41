// What happens to a sum before it is stored, the same for every family:
//
//   t = acc[m, o] + bias[o]
//   t = t + residual[m, o]          kAddBefore
//   t = activation(t)
//   y[m, o] = t + residual[m, o]    kAddAfter
//   y[m, o] = t * residual[m, o]    kMultiply: of gated units, such as SwiGLU
//   y[m, o] = t                     else
//
// NaN passes through every activation.
#ifndef NFCOMPILE_KERNELS_EPILOGUE_H_
#define NFCOMPILE_KERNELS_EPILOGUE_H_

#include <cstdint>
#include <string_view>

namespace nfcompile {

enum class Activation : int32_t {
  kNone,
  kRelu,
  kLeakyRelu,  // t < 0 ? alpha * t : t
  kClip,       // min(max(t, alpha), beta)
  kGelu,       // t / 2 * (1 + erf(t / sqrt(2)))
  kGeluTanh,   // t / 2 * (1 + tanh(sqrt(2 / pi) * (t + 0.044715 * t^3)))
  kSilu,       // t * sigmoid(t)
  kSigmoid,
  kTanh,
  kHardSwish,  // t * min(max(t / 6 + 1 / 2, 0), 1)
  kElu,        // t < 0 ? alpha * (exp(t) - 1) : t
};

// Throws std::invalid_argument for an unknown name.
Activation ActivationFromName(std::string_view name);

// What becomes of the residual, numbered as in a model.
enum class ResidualMode : int32_t { kAddBefore, kAddAfter, kMultiply };

// Throws std::invalid_argument for an unknown number.
ResidualMode ResidualModeFromNumber(int64_t number);

struct Epilogue {
  Activation activation = Activation::kNone;
  ResidualMode residual_mode = ResidualMode::kAddBefore;
  float alpha = 0;
  float beta = 0;
  const float* bias = nullptr;      // [out], or null
  const float* residual = nullptr;  // [batch, out], or null
};

// One scalar, from the C library's functions: the readable twin of epilogue_simd.h.
float Activate(const Epilogue& epilogue, float t);
float ActivateWith(const Epilogue& epilogue, float t, float residual);

// y = epilogue(acc) for output `o` of batch row `m`; `index` is m * out + o.
float ApplyEpilogue(const Epilogue& epilogue, float acc, int64_t o, int64_t index);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_EPILOGUE_H_
