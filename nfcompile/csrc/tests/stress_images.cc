// Chains of convolutions on images whose memory ends where they end, against the scalar twin.
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/isa.h"
#include "kernels/chain/image_chain.h"
#include "tests/stress_csr.h"

namespace nfcompile {
namespace {

struct Case {
  int64_t images, channels, height, width;
  Window window;
};

const Case kCases[] = {
    {1, 3, 5, 7, {{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}}},
    {3, 2, 9, 17, {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}},
    {2, 4, 15, 33, {{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}}},
    {2, 3, 12, 40, {{2, 4}, {3, 3}, {2, 1}, {0, 3, 2, 1}}},
    {5, 2, 3, 2, {{5, 5}, {1, 2}, {1, 1}, {4, 4, 4, 4}}},
    {6, 2, 23, 25, {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}},
    {2, 3, 8, 8, {{3, 1}, {1, 1}, {1, 1}, {1, 1, 1, 1}}},
    {2, 3, 9, 7, {{3, 3}, {1, 1}, {1, 1}, {3, 3, 3, 3}}},
    {1, 2, 40, 150, {{1, 3}, {1, 2}, {1, 3}, {0, 0, 0, 5}}},
};

// x -> windows -> a, a -> 1x1 -> b, b -> 1x1 + a -> c, c -> 1x1, padded and every second row.
ImageChain Make(const std::vector<Weight>& weights, const Window& window, Isa isa,
                Precision precision) {
  std::vector<ChainLayer> layers(weights.size());
  std::vector<Window> windows(weights.size(), {{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}});
  windows[0] = window;
  for (size_t l = 0; l < weights.size(); ++l) {
    layers[l].matmul = Pack(weights[l], isa, precision, &windows[l]);
    layers[l].epilogue.activation = Activation::kRelu;
    layers[l].source = static_cast<int>(l);
  }
  layers[2].residual = 1;
  windows[3] = {{1, 1}, {2, 1}, {1, 1}, {1, 1, 0, 1}};
  return ImageChain(1, std::move(layers), std::move(windows));
}

std::vector<float> Run(const ImageChain& chain, const std::vector<float>& x, const Case& at,
                       int64_t threads) {
  ImageRun run(chain, {{at.images, at.channels, at.height, at.width}}, {threads, threads});
  const std::vector<int64_t>& dims = run.y_dims();
  std::vector<float> y(dims[0] * dims[1] * dims[2] * dims[3], std::nanf(""));
  run.SetOperands({x.data()}, y.data());
  WorkOnAll(run);
  return y;
}

}  // namespace

int64_t StressImages() {
  int64_t failures = 0;
  for (const Case& at : kCases) {
    const int64_t taps = at.window.kernel_shape[0] * at.window.kernel_shape[1];
    for (const int64_t out : {1, 30}) {
      const std::vector<Weight> weights{Random(out, at.channels * taps), Random(out + 3, out),
                                        Random(out, out + 3), Random(5, out)};
      const std::vector<float> x = Normals(at.images * at.channels * at.height * at.width);
      const ImageChain twin = Make(weights, at.window, Isa::kScalar, Precision::kFloat32);
      const std::vector<float> expected = Run(twin, x, at, 1);
      for (const Isa isa : TestIsas()) {
        for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
          const ImageChain chain = Make(weights, at.window, isa, precision);
          const float allowed = precision == Precision::kFloat32 ? 1e-4f : 5e-2f;
          for (const int64_t threads : {1, 2, 3}) {
            const std::vector<float> got = Run(chain, x, at, threads);
            failures += Failures(got, expected, allowed);
          }
        }
      }
    }
  }
  if (failures > 0) std::printf("images: %ld wrong\n", static_cast<long>(failures));
  return failures;
}

}  // namespace nfcompile
