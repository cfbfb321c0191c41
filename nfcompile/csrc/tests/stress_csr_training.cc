// The training kernels on odd shapes against their scalar twin, operands in exact allocations.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/csr_training/csr_training.h"

namespace nfcompile {
namespace {

std::mt19937 generator(2);

struct Results {
  std::vector<float> y;
  std::vector<float> dx;
  std::vector<float> dvalues;
};

std::vector<float> Normals(int64_t size) {
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(generator);
  return values;
}

// All three products, each cut into two ranges.
Results Run(const CsrTrainingKernel& kernel, CsrStep step) {
  const CsrPattern& w = step.pattern;
  const float poison = std::nanf("");
  Results results{std::vector<float>(step.batch * w.rows, poison),
                  std::vector<float>(step.batch * w.columns, poison),
                  std::vector<float>(w.nnz, poison)};
  step.y = results.y.data();
  step.dx = results.dx.data();
  step.dvalues = results.dvalues.data();
  const AlignedArray<float> workspace(WorkspaceFloats(kernel, step));
  const auto cut = [](int64_t size, int64_t unit) {
    return std::min(size, (size / 2 + unit - 1) / unit * unit);
  };
  const auto halves = [&](int64_t size, int64_t unit, auto run) {
    const int64_t middle = cut(size, unit);
    for (const Range part : {Range{0, middle}, Range{middle, size}}) {
      if (part.size() > 0) run(part);
    }
  };
  if (kernel.width > 0) {
    halves(w.columns, kCsrTrainingRows,
           [&](Range part) { kernel.pack(step, part, workspace.data()); });
  }
  halves(w.rows, kCsrTrainingRows, [&](Range part) {
    kernel.forward(step, part, workspace.data());
    kernel.dvalues(step, part, workspace.data());
  });
  halves(step.batch, std::max(kernel.width, 1),
         [&](Range part) { kernel.dx(step, part, workspace.data()); });
  return results;
}

int64_t Wrong(const std::vector<float>& got, const std::vector<float>& expected) {
  int64_t wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const float allowed = 1e-4f * (1.0f + std::fabs(expected[i]));
    if (!(std::fabs(got[i] - expected[i]) <= allowed)) ++wrong;
  }
  return wrong;
}

}  // namespace

int64_t StressCsrTraining() {
  int64_t failures = 0;
  for (const int64_t rows : {1, 16, 50}) {
    for (const int64_t columns : {1, 17, 130}) {
      std::vector<int32_t> indices;
      std::vector<int32_t> indptr{0};
      std::bernoulli_distribution stored(0.2);
      for (int64_t o = 0; o < rows; ++o) {
        for (int64_t i = 0; i < columns; ++i) {
          if (stored(generator)) indices.push_back(static_cast<int32_t>(i));
        }
        indptr.push_back(static_cast<int32_t>(indices.size()));
      }
      const auto nnz = static_cast<int64_t>(indices.size());
      const std::vector<float> values = Normals(nnz);
      for (const int64_t batch : {1, 7, 8, 33, 65, 130}) {
        const std::vector<float> x = Normals(batch * columns);
        const std::vector<float> dy = Normals(batch * rows);
        CsrStep step{.pattern = {indices.data(), indptr.data(), rows, columns, nnz},
                     .values = values.data(),
                     .x = x.data(),
                     .dy = dy.data()};
        step.batch = batch;
        const Results expected = Run(csr_training_f32_scalar, step);
        for (const Isa isa : TestIsas()) {
          const Results got = Run(FindCsrTrainingKernel(isa), step);
          failures += Wrong(got.y, expected.y) + Wrong(got.dx, expected.dx) +
                      Wrong(got.dvalues, expected.dvalues);
        }
      }
    }
  }
  if (failures > 0) std::printf("csr_training: %ld wrong\n", static_cast<long>(failures));
  return failures;
}

}  // namespace nfcompile
