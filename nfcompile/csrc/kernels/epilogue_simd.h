// The epilogue of epilogue.h on vectors: lanes are neighbouring outputs o of one batch row m.
#ifndef NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_
#define NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_

#include "kernels/epilogue.h"
#include "kernels/math_simd.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// The activations that cost tens of instructions: a call, so that the cheap ones stay inline.
__attribute__((noinline)) Floats ActivateCostly(const Epilogue& epilogue, Floats t) {
  const Floats half = Splat(0.5f);
  const Floats one = Splat(1.0f);
  switch (epilogue.activation) {
    case Activation::kGelu:
      return half * t * (one + Erf(t * Splat(0.70710678f)));
    case Activation::kGeluTanh:
      return half * t * (one + Tanh(Splat(0.79788456f) * (t + Splat(0.044715f) * t * t * t)));
    case Activation::kSilu:
      return t * Sigmoid(t);
    case Activation::kSigmoid:
      return Sigmoid(t);
    case Activation::kTanh:
      return Tanh(t);
    case Activation::kHardSwish:
      return t * AtMost(AtLeast(t * Splat(1.0f / 6.0f) + half, Splat(0.0f)), one);
    case Activation::kElu:
      return Select(t < Splat(0.0f), Splat(epilogue.alpha) * (Exp(t) - one), t);
    default:
      return t;
  }
}

NFCOMPILE_INLINE Floats Activate(const Epilogue& epilogue, Floats t) {
  switch (epilogue.activation) {
    case Activation::kNone:
      return t;
    case Activation::kRelu:
      return AtLeast(t, Splat(0.0f));
    case Activation::kLeakyRelu:
      return Select(t < Splat(0.0f), Splat(epilogue.alpha) * t, t);
    case Activation::kClip:
      return AtMost(AtLeast(t, Splat(epilogue.alpha)), Splat(epilogue.beta));
    default:
      return ActivateCostly(epilogue, t);
  }
}

// t = epilogue(acc), given the residual of the same lanes (unread where there is none).
NFCOMPILE_INLINE Floats Finish(const Epilogue& epilogue, Floats acc, Floats bias,
                               Floats residual) {
  Floats t = acc + bias;
  if (epilogue.residual == nullptr) return Activate(epilogue, t);
  if (epilogue.residual_after_activation) return Activate(epilogue, t) + residual;
  return Activate(epilogue, t + residual);
}

// The bias of outputs o .. o + lanes, zero where there is none.
NFCOMPILE_INLINE Floats LoadBias(const Epilogue& epilogue, int64_t o, int lanes) {
  if (epilogue.bias == nullptr) return Splat(0.0f);
  return lanes == kWidth ? Load(epilogue.bias + o) : LoadPart(epilogue.bias + o, lanes);
}

// A part of a vector: rare, so a call.
__attribute__((noinline)) void FinishAndStorePart(const Epilogue& epilogue, Floats acc,
                                                  Floats bias, float* y, int64_t index,
                                                  int lanes) {
  Floats residual = Splat(0.0f);
  if (epilogue.residual != nullptr) residual = LoadPart(epilogue.residual + index, lanes);
  StorePart(y + index, Finish(epilogue, acc, bias, residual), lanes);
}

// y[index .. index + lanes] = epilogue(acc); index is m * out + o.
NFCOMPILE_INLINE void FinishAndStore(const Epilogue& epilogue, Floats acc, Floats bias,
                                     float* y, int64_t index, int lanes) {
  if (lanes != kWidth) {
    FinishAndStorePart(epilogue, acc, bias, y, index, lanes);
    return;
  }
  Floats residual = Splat(0.0f);
  if (epilogue.residual != nullptr) residual = Load(epilogue.residual + index);
  Store(y + index, Finish(epilogue, acc, bias, residual));
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_
