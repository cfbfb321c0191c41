// csr_training_f32_scalar: the equations of csr_training.h as they stand.
#include "kernels/csr_training/csr_training.h"

namespace nfcompile {
namespace {

void Pack(const CsrStep&, Range, float*) {}

void Forward(const CsrStep& step, Range rows, const float*) {
  const CsrPattern& w = step.pattern;
  for (int64_t m = 0; m < step.batch; ++m) {
    const float* x = step.x + m * w.columns;
    for (int64_t o = rows.begin; o < rows.end; ++o) {
      float sum = 0;
      for (int64_t p = w.indptr[o]; p < w.indptr[o + 1]; ++p) {
        sum += step.values[p] * x[w.indices[p]];
      }
      step.y[m * w.rows + o] = sum;
    }
  }
}

void DValues(const CsrStep& step, Range rows, const float*) {
  const CsrPattern& w = step.pattern;
  for (int64_t o = rows.begin; o < rows.end; ++o) {
    for (int64_t p = w.indptr[o]; p < w.indptr[o + 1]; ++p) {
      float sum = step.accumulate ? step.dvalues[p] : 0.0f;
      for (int64_t m = 0; m < step.batch; ++m) {
        sum += step.dy[m * w.rows + o] * step.x[m * w.columns + w.indices[p]];
      }
      step.dvalues[p] = sum;
    }
  }
}

void Dx(const CsrStep& step, Range batch, float*) {
  const CsrPattern& w = step.pattern;
  for (int64_t m = batch.begin; m < batch.end; ++m) {
    float* dx = step.dx + m * w.columns;
    for (int64_t i = 0; i < w.columns; ++i) dx[i] = 0;
    for (int64_t o = 0; o < w.rows; ++o) {
      const float dy = step.dy[m * w.rows + o];
      for (int64_t p = w.indptr[o]; p < w.indptr[o + 1]; ++p) {
        dx[w.indices[p]] += step.values[p] * dy;
      }
    }
  }
}

}  // namespace

const CsrTrainingKernel csr_training_f32_scalar = {
    .name = "csr_training_f32_scalar",
    .isa = Isa::kScalar,
    .width = 0,
    .pack = Pack,
    .forward = Forward,
    .dvalues = DValues,
    .dx = Dx,
};

}  // namespace nfcompile
