#include "python/training.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/partition.h"
#include "kernels/csr_training/csr_training.h"
#include "python/arrays.h"

namespace nfcompile::python {
namespace {

using nanobind::literals::operator""_a;

using Indices = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutputVector = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Batch rows that are transposed at a time: bounds the workspace whatever the batch is.
constexpr int64_t kSlab = 512;
// Multiply-adds below which one product is not shared: about four times what it takes to start
// and join a thread.
constexpr int64_t kMinMacsPerThread = 1 << 20;
constexpr int64_t kMaxThreads = 64;

// Tasks that must be done before the next phase begins.
struct Phase {
  Phase(int64_t tasks, std::function<void(int64_t)> task)
      : tasks(static_cast<int>(tasks)), task(std::move(task)) {}

  const int tasks;
  const std::function<void(int64_t)> task;
  std::atomic<int> next = 0;
  std::atomic<int> done = 0;
};

using Phases = std::deque<Phase>;

void Work(Phases& phases) {
  for (Phase& phase : phases) {
    for (int i = phase.next++; i < phase.tasks; i = phase.next++) {
      phase.task(i);
      if (++phase.done == phase.tasks) phase.done.notify_all();
    }
    for (int done = phase.done; done < phase.tasks; done = phase.done) phase.done.wait(done);
  }
}

// Does the tasks of every phase on up to `threads` threads. None is waited for that has not
// taken a task: torch's own threads spin for a while after they worked, and where they hold the
// cores a new thread is late. It then finds nothing to do, and may outlive the call, so it owns
// the phases, and touches what the tasks refer to only in a task.
void RunPhases(std::shared_ptr<Phases> phases, int64_t threads) {
  try {
    for (int64_t i = 1; i < threads; ++i) std::thread([phases] { Work(*phases); }).detach();
  } catch (const std::system_error&) {
    // The machine gives no more threads: those that run do it all.
  }
  Work(*phases);
}

// Runs the products of one step whose outputs are not null.
class StepRunner {
 public:
  StepRunner(const CsrStep& step, const CsrTrainingKernel& kernel, int64_t threads)
      : step_(step), kernel_(kernel) {
    const int64_t rows = std::min(step.batch, kSlab);
    const int64_t affordable = step.pattern.nnz * rows / kMinMacsPerThread;
    threads_ = std::clamp<int64_t>(std::min(threads, affordable), 1, kMaxThreads);
    // A few parts per thread, so that a thread that is held up does not hold up the others.
    parts_ = threads_ == 1 ? 1 : 4 * threads_;
  }

  void Run() {
    if (step_.dvalues != nullptr && step_.batch == 0) {
      std::fill_n(step_.dvalues, step_.pattern.nnz, 0.0f);
    }
    const CsrStep whole = step_;
    for (int64_t m = 0; m < whole.batch; m += kSlab) {
      const auto skip = [&](auto* data, int64_t features) {
        return data == nullptr ? data : data + m * features;
      };
      step_.batch = std::min(whole.batch - m, kSlab);
      step_.x = skip(whole.x, whole.pattern.columns);
      step_.dx = skip(whole.dx, whole.pattern.columns);
      step_.y = skip(whole.y, whole.pattern.rows);
      step_.dy = skip(whole.dy, whole.pattern.rows);
      step_.accumulate = m > 0;
      RunSlab();
    }
  }

 private:
  void RunSlab() {
    float* workspace = ThreadWorkspace(WorkspaceFloats(kernel_, step_));
    const auto phases = std::make_shared<Phases>();
    if (step_.y != nullptr || step_.dvalues != nullptr) {
      if (kernel_.width > 0) {
        phases->emplace_back(parts_, [=, this](int64_t part) { Pack(part, workspace); });
      }
      phases->emplace_back(parts_, [=, this](int64_t part) { RunRows(part, workspace); });
    }
    if (step_.dx != nullptr) {
      phases->emplace_back(threads_, [=, this](int64_t part) { RunDx(part, workspace); });
    }
    RunPhases(phases, threads_);
  }

  void Pack(int64_t part, float* workspace) const {
    const int64_t columns = step_.pattern.columns;
    const Range cut = EvenRange(CeilDiv(columns, kCsrTrainingRows), part, parts_);
    kernel_.pack(step_,
                 {cut.begin * kCsrTrainingRows, std::min(cut.end * kCsrTrainingRows, columns)},
                 workspace);
  }

  void RunRows(int64_t part, const float* workspace) const {
    const Range rows = BalancedRows(step_.pattern, part, parts_);
    if (rows.size() <= 0) return;
    if (step_.y != nullptr) kernel_.forward(step_, rows, workspace);
    if (step_.dvalues != nullptr) kernel_.dvalues(step_, rows, workspace);
  }

  void RunDx(int64_t part, float* workspace) const {
    const int64_t width = std::max(kernel_.width, 1);
    const Range cut = EvenRange(CeilDiv(step_.batch, width), part, threads_);
    const Range batch{cut.begin * width, std::min(cut.end * width, step_.batch)};
    if (batch.size() > 0) kernel_.dx(step_, batch, workspace);
  }

  CsrStep step_;
  const CsrTrainingKernel& kernel_;
  int64_t threads_;
  int64_t parts_;
};

template <typename Array>
void CheckSize(const char* name, const Array& array, size_t dimension, int64_t size) {
  Require(static_cast<int64_t>(array.shape(dimension)) == size, name, " must have ", size,
          " entries in dimension ", dimension, ", got ", array.shape(dimension));
}

CsrPattern Pattern(const Indices& indices, const Indices& indptr, size_t rows, size_t columns) {
  const CsrPattern pattern{.indices = indices.data(),
                           .indptr = indptr.data(),
                           .rows = static_cast<int64_t>(rows),
                           .columns = static_cast<int64_t>(columns),
                           .nnz = static_cast<int64_t>(indices.shape(0))};
  CheckSize("indptr", indptr, 0, pattern.rows + 1);
  CheckCsrPattern(pattern);
  return pattern;
}

void Forward(const Matrix& x, const Vector& values, const Indices& indices,
             const Indices& indptr, const Output& y, int64_t threads, const std::string& isa) {
  const CsrTrainingKernel& kernel = FindCsrTrainingKernel(IsaFromName(isa));
  const nb::gil_scoped_release release;
  CsrStep step{.pattern = Pattern(indices, indptr, y.shape(1), x.shape(1))};
  CheckSize("values", values, 0, step.pattern.nnz);
  CheckSize("y", y, 0, static_cast<int64_t>(x.shape(0)));
  step.batch = static_cast<int64_t>(x.shape(0));
  step.values = values.data();
  step.x = x.data();
  step.y = y.data();
  StepRunner(step, kernel, threads).Run();
}

void Backward(const Matrix& dy, const std::optional<Matrix>& x,
              const std::optional<Vector>& values, const Indices& indices,
              const Indices& indptr, const std::optional<Output>& dx,
              const std::optional<OutputVector>& dvalues, int64_t threads,
              const std::string& isa) {
  const CsrTrainingKernel& kernel = FindCsrTrainingKernel(IsaFromName(isa));
  const nb::gil_scoped_release release;
  Require(!dx || values, "values must be given for dx");
  Require(!dvalues || x, "x must be given for dvalues");
  if (!dx && !dvalues) return;
  const size_t columns = dx ? dx->shape(1) : x->shape(1);
  CsrStep step{.pattern = Pattern(indices, indptr, dy.shape(1), columns)};
  step.batch = static_cast<int64_t>(dy.shape(0));
  step.dy = dy.data();
  if (dx) {
    CheckSize("values", *values, 0, step.pattern.nnz);
    CheckSize("dx", *dx, 0, step.batch);
    step.values = values->data();
    step.dx = dx->data();
  }
  if (dvalues) {
    CheckSize("x", *x, 0, step.batch);
    CheckSize("x", *x, 1, step.pattern.columns);
    CheckSize("dvalues", *dvalues, 0, step.pattern.nnz);
    step.x = x->data();
    step.dvalues = dvalues->data();
  }
  StepRunner(step, kernel, threads).Run();
}

}  // namespace

void BindTraining(nb::module_& m) {
  m.def("csr_forward", &Forward, "x"_a.noconvert(), "values"_a.noconvert(),
        "indices"_a.noconvert(), "indptr"_a.noconvert(), "y"_a.noconvert(), nb::kw_only(),
        "threads"_a = 1, "isa"_a = "");
  m.def("csr_backward", &Backward, "dy"_a.noconvert(), "x"_a.noconvert().none(),
        "values"_a.noconvert().none(), "indices"_a.noconvert(), "indptr"_a.noconvert(),
        "dx"_a.noconvert().none(), "dvalues"_a.noconvert().none(), nb::kw_only(),
        "threads"_a = 1, "isa"_a = "");
}

}  // namespace nfcompile::python
