// The epilogue of epilogue.h on vectors: lanes are neighbouring outputs o of one batch row m.
#ifndef NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_
#define NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_

#include "kernels/epilogue.h"
#include "kernels/gelu_simd.h"
#include "kernels/math_simd.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

template <Activation kActivation>
NFCOMPILE_INLINE Floats ActivateAs(const Epilogue& epilogue, Floats t) {
  const Floats zero = Splat(0.0f);
  const Floats half = Splat(0.5f);
  const Floats one = Splat(1.0f);
  if constexpr (kActivation == Activation::kRelu) {
    return AtLeast(t, zero);
  } else if constexpr (kActivation == Activation::kLeakyRelu) {
    return Select(t < zero, Splat(epilogue.alpha) * t, t);
  } else if constexpr (kActivation == Activation::kClip) {
    return AtMost(AtLeast(t, Splat(epilogue.alpha)), Splat(epilogue.beta));
  } else if constexpr (kActivation == Activation::kGelu) {
    return Gelu(t);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    return GeluTanh(t);
  } else if constexpr (kActivation == Activation::kSilu) {
    return t * Sigmoid(t);
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return Sigmoid(t);
  } else if constexpr (kActivation == Activation::kTanh) {
    return Tanh(t);
  } else if constexpr (kActivation == Activation::kHardSwish) {
    return t * AtMost(AtLeast(t * Splat(1.0f / 6.0f) + half, zero), one);
  } else if constexpr (kActivation == Activation::kElu) {
    return Select(t < zero, Splat(epilogue.alpha) * (Exp(t) - one), t);
  } else {
    return t;
  }
}

// body(activate): so that a loop is compiled for each activation by itself.
template <typename Body>
NFCOMPILE_INLINE void WithActivation(const Epilogue& epilogue, Body body) {
#define NFCOMPILE_ACTIVATION(name) \
  case Activation::name:           \
    return body([&](Floats t) { return ActivateAs<Activation::name>(epilogue, t); })
  switch (epilogue.activation) {
    NFCOMPILE_ACTIVATION(kNone);
    NFCOMPILE_ACTIVATION(kRelu);
    NFCOMPILE_ACTIVATION(kLeakyRelu);
    NFCOMPILE_ACTIVATION(kClip);
    NFCOMPILE_ACTIVATION(kGelu);
    NFCOMPILE_ACTIVATION(kGeluTanh);
    NFCOMPILE_ACTIVATION(kSilu);
    NFCOMPILE_ACTIVATION(kSigmoid);
    NFCOMPILE_ACTIVATION(kTanh);
    NFCOMPILE_ACTIVATION(kHardSwish);
    NFCOMPILE_ACTIVATION(kElu);
  }
#undef NFCOMPILE_ACTIVATION
}

// The activations that cost tens of instructions: a call, so that the cheap ones stay inline.
__attribute__((noinline)) Floats ActivateCostly(const Epilogue& epilogue, Floats t) {
  WithActivation(epilogue, [&](auto activate) { t = activate(t); });
  return t;
}

NFCOMPILE_INLINE Floats Activate(const Epilogue& epilogue, Floats t) {
  switch (epilogue.activation) {
    case Activation::kNone:
      return t;
    case Activation::kRelu:
      return ActivateAs<Activation::kRelu>(epilogue, t);
    case Activation::kLeakyRelu:
      return ActivateAs<Activation::kLeakyRelu>(epilogue, t);
    case Activation::kClip:
      return ActivateAs<Activation::kClip>(epilogue, t);
    default:
      return ActivateCostly(epilogue, t);
  }
}

// None, ReLU and Clip are two bounds; of other activations these are not exact.
class Bounds {
 public:
  NFCOMPILE_INLINE explicit Bounds(const Epilogue& epilogue) {
    constexpr float kNone = __builtin_inff();
    const bool relu = epilogue.activation == Activation::kRelu;
    const bool clip = epilogue.activation == Activation::kClip;
    low_ = Splat(clip ? epilogue.alpha : relu ? 0.0f : -kNone);
    high_ = Splat(clip ? epilogue.beta : kNone);
    exact_ = relu || clip || epilogue.activation == Activation::kNone;
  }

  bool exact() const { return exact_; }

  NFCOMPILE_INLINE Floats operator()(Floats t) const { return AtMost(AtLeast(t, low_), high_); }

 private:
  Floats low_;
  Floats high_;
  bool exact_;
};

NFCOMPILE_INLINE Floats ActivateWith(const Epilogue& epilogue, Floats t, Floats residual) {
  if (epilogue.residual_mode == ResidualMode::kAddBefore) {
    return Activate(epilogue, t + residual);
  }
  t = Activate(epilogue, t);
  return epilogue.residual_mode == ResidualMode::kMultiply ? t * residual : t + residual;
}

// t = epilogue(acc), given the residual of the same lanes (unread where there is none).
NFCOMPILE_INLINE Floats Finish(const Epilogue& epilogue, Floats acc, Floats bias,
                               Floats residual) {
  if (epilogue.residual == nullptr) return Activate(epilogue, acc + bias);
  return ActivateWith(epilogue, acc + bias, residual);
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

// The same for `count` sums in a row, which are followed by room for a vector.
NFCOMPILE_INLINE void FinishRow(const Epilogue& epilogue, const float* sums, int64_t count,
                                int64_t o, float* y, int64_t index) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int lanes = count - i < kWidth ? static_cast<int>(count - i) : kWidth;
    const Floats bias = LoadBias(epilogue, o + i, lanes);
    FinishAndStore(epilogue, Load(sums + i), bias, y, index + i, lanes);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_EPILOGUE_SIMD_H_
