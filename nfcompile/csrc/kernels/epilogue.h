// What happens to a sum before it is stored, the same for every family:
//
//   t = acc[m, o] + bias[o]
//   t = t + residual[m, o]          unless residual_after_activation
//   t = activation(t)
//   y[m, o] = t + residual[m, o]    if residual_after_activation, else t
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

struct Epilogue {
  Activation activation = Activation::kNone;
  bool residual_after_activation = false;
  float alpha = 0;
  float beta = 0;
  const float* bias = nullptr;      // [out], or null
  const float* residual = nullptr;  // [batch, out], or null
};

// One scalar, from the C library's functions: the readable twin of epilogue_simd.h.
float Activate(const Epilogue& epilogue, float t);

// y = epilogue(acc) for output `o` of batch row `m`; `index` is m * out + o.
float ApplyEpilogue(const Epilogue& epilogue, float acc, int64_t o, int64_t index);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_EPILOGUE_H_
