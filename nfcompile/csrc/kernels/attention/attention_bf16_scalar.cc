// attention_bf16_scalar: the readable twin.
#include "kernels/attention/attention_scalar.h"

namespace nfcompile {
namespace {

void RunHead(const Attention& attention, int64_t number, Range queries, float* workspace) {
  ScalarHead(attention, number, queries, workspace,
             [](float value) { return FromBfloat16(ToBfloat16(value)); });
}

}  // namespace

const AttentionKernel attention_bf16_scalar = {
    .name = "attention_bf16_scalar",
    .isa = Isa::kScalar,
    .precision = Precision::kBfloat16,
    .run = RunHead,
};

}  // namespace nfcompile
