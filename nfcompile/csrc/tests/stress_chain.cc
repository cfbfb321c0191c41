// Chains with branches, residuals, norms and several results, in both precisions and forms,
// against the scalar twin.
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/isa.h"
#include "kernels/chain/chain_run.h"
#include "tests/stress_csr.h"

namespace nfcompile {
namespace {

Chain Make(const std::vector<Weight>& weights, Isa isa, Precision precision) {
  std::vector<ChainLayer> layers(weights.size());
  for (size_t l = 0; l < weights.size(); ++l) {
    layers[l].matmul = Pack(weights[l], isa, precision);
    layers[l].epilogue.activation = Activation::kRelu;
  }
  // x -> a -> b, x -> c, d = relu(W c + b), e = relu(W d) + d.
  layers[1].source = 1;
  layers[3].source = 3;
  layers[3].residual = 2;
  layers[4].source = 4;
  layers[4].residual = 4;
  layers[4].epilogue.residual_mode = ResidualMode::kAddAfter;
  // f = norm(e), g = W f + e, h = norm(f): what products read, what they add, and both.
  const auto norm = [&](int source, bool centered) {
    ChainLayer layer;
    layer.norm = std::make_shared<const Norm>(
        Norm{std::vector<float>(weights[0].in, 0.5f), 0.01f, centered});
    layer.bias = std::vector<float>(weights[0].in, 0.25f);
    layer.source = source;
    return layer;
  };
  const int e = 5;
  layers.push_back(norm(e, /*centered=*/true));
  layers.push_back(layers[4]);
  layers.back().source = e + 1;
  layers.back().residual = e;
  layers.push_back(norm(e + 1, /*centered=*/false));
  return Chain({weights[0].in}, std::move(layers), {e + 2, e, e + 3});
}

// All results, one after the other.
std::vector<float> Run(const Chain& chain, const std::vector<float>& x, int64_t batch,
                       Form form, int64_t threads) {
  std::vector<std::vector<float>> results;
  ChainOperands operands;
  for (const int slot : chain.outputs()) {
    results.emplace_back(batch * chain.features(slot), std::nanf(""));
    operands.outputs.push_back(results.back().data());
  }
  operands.inputs.push_back(x.data());
  operands.batch = batch;
  operands.form = form;
  ChainRun run(chain, operands, {threads, threads});
  WorkOnAll(run);
  std::vector<float> all;
  for (const std::vector<float>& y : results) all.insert(all.end(), y.begin(), y.end());
  return all;
}

}  // namespace

int64_t StressChain() {
  int64_t failures = 0;
  for (const int64_t n : {1, 7, 33, 130}) {
    const std::vector<Weight> weights{Random(n + 3, n), Random(n, n + 3), Random(n + 1, n),
                                      Random(n, n + 1), Random(n, n)};
    const Chain twin = Make(weights, Isa::kScalar, Precision::kFloat32);
    for (const Isa isa : TestIsas()) {
      for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
        const Chain chain = Make(weights, isa, precision);
        const float allowed = precision == Precision::kFloat32 ? 1e-4f : 5e-2f;
        for (const int64_t batch : {1, 8, 17, 70, 300}) {
          const std::vector<float> x = Normals(batch * n);
          const std::vector<float> expected = Run(twin, x, batch, Form::kRows, 1);
          for (const Form form : {Form::kRows, Form::kTiles}) {
            const std::vector<float> got = Run(chain, x, batch, form, 3);
            failures += Failures(got, expected, allowed);
          }
        }
      }
    }
  }
  if (failures > 0) std::printf("chain: %ld wrong\n", static_cast<long>(failures));
  return failures;
}

}  // namespace nfcompile
