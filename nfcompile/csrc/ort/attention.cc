#include "ort/attention.h"

#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "base/text.h"
#include "kernels/attention/attention_run.h"

namespace nfcompile::ort {
namespace {

class AttentionNode final : public Kernel {
 public:
  AttentionNode(const Api& api, std::string subject, int64_t heads, std::optional<float> scale,
                Precision precision, bool nan_is_zero)
      : Kernel(api, std::move(subject)),
        heads_(heads),
        scale_(scale),
        nan_is_zero_(nan_is_zero),
        kernel_(FindAttentionKernel(SelectIsa(), precision)) {}

 private:
  void Run(OrtKernelContext* context) const override {
    const Tensor q = RequiredInput(context, 0, "Q");
    const Tensor k = RequiredInput(context, 1, "K");
    const Tensor v = RequiredInput(context, 2, "V");
    const std::optional<Tensor> bias = OptionalTensor(context, 3, "bias");
    std::optional<std::span<const int64_t>> bias_dims;
    if (bias) bias_dims = bias->dims;
    Attention attention = ShapeAttention(heads_, scale_, q.dims, k.dims, v.dims, bias_dims);
    attention.nan_is_zero = nan_is_zero_;
    attention.q.data = static_cast<const float*>(q.data);
    attention.k.data = static_cast<const float*>(k.data);
    attention.v.data = static_cast<const float*>(v.data);
    if (bias) attention.bias.data = static_cast<const float*>(bias->data);
    attention.y = static_cast<float*>(
        Output(context, 0,
               {attention.batch, attention.queries, attention.heads * attention.value_size}));
    AttentionRun run(attention, kernel_, SessionThreads());
    Share(context, run);
  }

  const int64_t heads_;
  const std::optional<float> scale_;
  const bool nan_is_zero_;
  const AttentionKernel& kernel_;
};

}  // namespace

std::unique_ptr<Kernel> MakeAttentionKernel(const Api& api, const Node& node,
                                            std::string subject) {
  const int64_t heads = node.Int("heads");
  Require(heads >= 1, "attribute heads must be at least 1, got ", heads);
  const float scale = node.Float("scale", NAN);
  const std::string precision = node.String("precision", "fp32");
  Require(precision == "fp32" || precision == "bf16",
          "attribute precision must be fp32 or bf16, got ", precision);
  return std::make_unique<AttentionNode>(
      api, std::move(subject), heads,
      std::isnan(scale) ? std::nullopt : std::optional<float>(scale),
      precision == "bf16" ? Precision::kBfloat16 : Precision::kFloat32,
      node.Int("nan_is_zero", 0) != 0);
}

}  // namespace nfcompile::ort
