// attention_f32_scalar: the readable twin.
#include "kernels/attention/attention_scalar.h"

namespace nfcompile {
namespace {

void RunHead(const Attention& attention, int64_t number, Range queries, float* workspace) {
  ScalarHead(attention, number, queries, workspace, [](float value) { return value; });
}

}  // namespace

const AttentionKernel attention_f32_scalar = {
    .name = "attention_f32_scalar",
    .isa = Isa::kScalar,
    .precision = Precision::kFloat32,
    .run = RunHead,
};

}  // namespace nfcompile
