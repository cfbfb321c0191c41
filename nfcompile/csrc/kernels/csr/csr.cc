#include "kernels/csr/csr.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kernels/csr/csr_kernel.h"
#include "kernels/csr/csr_picks.h"
#include "kernels/indptr.h"
#include "kernels/tile/planes.h"

namespace nfcompile {
namespace {

const CsrKernel* FindKernel(Isa isa) {
#if defined(__x86_64__)
  for (const CsrKernel* kernel : {&csr_f32_avx512, &csr_f32_avx2, &csr_f32_avx512_emulated}) {
    if (kernel->isa == isa) return kernel;
  }
#endif
  return nullptr;
}

class SimdCsrMatMul final : public RowMatMul {
 public:
  SimdCsrMatMul(const CsrView& view, const CsrKernel& kernel, Precision precision)
      : kernel_(kernel), weights_(PackCsr(view, kernel.width, precision)) {
    const int64_t out = view.out_features();
    for (int64_t o = 0; o < out; o += kCsrChunk) cost_.push_back(view.indptr[o] + 2 * o);
    cost_.push_back(view.nnz + 2 * out);
  }

  const char* description() const override { return kernel_.name; }

  int64_t max_batch(bool) const override { return 1; }

  int64_t units() const override { return static_cast<int64_t>(cost_.size()) - 1; }

  // Bound by loads, not by arithmetic.
  int64_t macs() const override { return kMacsPerEntry * cost_.back(); }

  void Run(const Operands& operands, int64_t part, int64_t parts, float*) const override {
    const Range chunks = BalancedRange(cost_.data(), units(), part, parts);
    const Range rows{chunks.begin * kCsrChunk,
                     std::min(chunks.end * kCsrChunk, weights_.out_features)};
    if (rows.size() <= 0) return;
    for (int64_t m = 0; m < operands.batch; ++m) {
      kernel_.vector(weights_, operands, m, rows);
    }
  }

 private:
  static constexpr int64_t kMacsPerEntry = 4;

  const CsrKernel& kernel_;
  const CsrSlices weights_;
  std::vector<int64_t> cost_;  // prefix sums over chunks
};

// Convolutions run over tiles only, and get what is small.
std::unique_ptr<RowMatMul> MakeRows(const CsrView& weights, Isa isa, Precision precision,
                                    bool convolves) {
  if (!convolves) {
    if (auto picked = MakePickedCsrMatMul(weights, isa, precision)) return picked;
  }
  const CsrKernel* kernel = FindKernel(Fp32Isa(isa));
  if (kernel == nullptr) return MakeScalarCsrMatMul(weights);
  return std::make_unique<SimdCsrMatMul>(weights, *kernel, precision);
}

// Vectors of a tile from which on code pays that does not stay in the cache (Zen 4, four layers
// 2048 x 2048 at density 0.10 in ONNX Runtime: at batch 64, 96, 128 and 192 the table takes
// 0.91, 0.98, 1.04 and 1.11 times as long).
constexpr int kMinCodeVectors = 8;

}  // namespace

void Check(const CsrView& weights) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  CheckIndptr("CSR", weights.indptr, weights.indices, weights.nnz, weights.in_features,
              "in_features");
}

MatMul MakeCsrMatMul(const CsrView& weights, Isa isa, Precision precision, const CsrUse& use) {
  Check(weights);
  const CsrKinds kinds(weights);
  const bool convolves = use.window != nullptr;
  const bool can_generate = use.generate && CanGenerate(weights, kinds, isa);
  CsrView view = weights;
  std::vector<float> rounded;
  if (can_generate && convolves && precision == Precision::kBfloat16) {
    // Convolutions of a chain need not share a precision, and are faster as code and with
    // images that lie as tiles do, which has no bf16 (ResNet-50 on Zen 4: pairs of bf16 for
    // windows of one pixel make it 10 % slower).
    for (int64_t p = 0; p < weights.nnz; ++p) {
      rounded.push_back(FromBfloat16(ToBfloat16(weights.values[p])));
    }
    view.values = rounded.data();
    precision = Precision::kFloat32;
  }
  MatMul made = MakeMatMul(MakeRows(view, isa, precision, convolves),
                           PackCsrTile(view, kinds, isa, precision), isa);
  if (!can_generate || precision != Precision::kFloat32) return made;
  if (convolves && HasPlanes(*use.window)) {
    std::optional<TileWeights> code = GenerateCsrTile(view, use.window);
    if (!code) return made;
    made.planes = *std::move(code);
    made.window = *use.window;
  } else if (IsWorthCode(view)) {
    std::optional<TileWeights> code = GenerateCsrTile(view, nullptr);
    if (!code) return made;
    made.code = *std::move(code);
    const bool in_cache = std::max(use.chain_entries, view.nnz) <= kMostGenerated;
    made.code_vectors = in_cache ? 1 : kMinCodeVectors;
  }
  return made;
}

}  // namespace nfcompile
