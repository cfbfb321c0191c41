// One node of a session: packed weights, and what a run does with them.
#ifndef NFCOMPILE_ORT_KERNEL_H_
#define NFCOMPILE_ORT_KERNEL_H_

#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/crew.h"
#include "kernels/chain/chain_run.h"
#include "kernels/chain/image_chain.h"
#include "kernels/tile/window.h"
#include "ort/api.h"

namespace nfcompile::ort {

class Kernel {
 public:
  Kernel(const Api& api, std::string subject) : api_(api), subject_(std::move(subject)) {}
  virtual ~Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Safe to call from several threads at once: a run changes nothing here but what is known of
  // the session's threads.
  OrtStatus* Compute(OrtKernelContext* context) const noexcept;

 protected:
  virtual void Run(OrtKernelContext* context) const = 0;

  const Api& api() const { return api_; }

  // Throws std::invalid_argument where it is absent or of another type.
  Tensor RequiredInput(const OrtKernelContext* context, size_t index, const char* name,
                       int type = kFloat) const;
  // Nothing where it is absent. Throws std::invalid_argument where it has another type.
  std::optional<Tensor> OptionalTensor(const OrtKernelContext* context, size_t index,
                                       const char* name, int type = kFloat) const;
  // Null where it is absent. Throws std::invalid_argument where it has another type or shape.
  const void* OptionalInput(const OrtKernelContext* context, size_t index, const char* name,
                            const std::vector<int64_t>& dims, int type = kFloat) const;
  float* Output(OrtKernelContext* context, size_t index,
                const std::vector<int64_t>& dims) const;

  // How many threads a session has.
  Threads SessionThreads() const;

  // Who is called for a run.
  struct Callees {
    Threads threads;
    int64_t all = 0;  // that could have been called; 0 where nothing is to be learned of it
  };
  // Those threads that runs of `rows` are fastest with, as far as is known.
  Callees Call(int64_t rows) const;

  // Calls run.Work on as many threads as can be of use. Throws std::bad_alloc.
  template <typename Shared>
  void Share(OrtKernelContext* context, Shared& run) const;
  // The same, and learns how many threads runs of `rows` should have.
  void ShareAndLearn(OrtKernelContext* context, ChainRun& run, int64_t rows,
                     const Callees& callees) const;

 private:
  void Learn(int64_t came) const;

  const Api api_;
  const std::string subject_;
  mutable std::atomic<int64_t> shared_runs_ = 0;
  mutable std::atomic<int64_t> calls_ = 0;
  mutable std::atomic<int64_t> most_came_ = 1;
  mutable Crew crew_;
};

template <typename Shared>
void Kernel::Share(OrtKernelContext* context, Shared& run) const {
  if (run.workers() == 1) {
    run.Work(0);
  } else {
    const auto work = [](void* shared, size_t share) {
      static_cast<Shared*>(shared)->Work(static_cast<int64_t>(share));
    };
    // Zero batches: ONNX Runtime deals the workers out one by one.
    api_.Call<KernelContextParallelFor>(context, +work, static_cast<size_t>(run.workers()),
                                        size_t{0}, static_cast<void*>(&run));
    Learn(run.came());
  }
  if (run.out_of_memory()) throw std::bad_alloc();
}

// Products, alone or in a chain, over rows or over the windows of images.
class ChainKernel final : public Kernel {
 public:
  // `is_product`: whether bias and residual are inputs of their own. `window`: of a
  // convolution.
  ChainKernel(const Api& api, std::string subject, std::unique_ptr<Chain> chain,
              bool is_product, std::optional<Window> window)
      : Kernel(api, std::move(subject)),
        chain_(std::move(chain)),
        is_product_(is_product),
        window_(std::move(window)) {}

 private:
  void Run(OrtKernelContext* context) const override;

  const std::unique_ptr<Chain> chain_;
  const bool is_product_;
  const std::optional<Window> window_;
};

// A chain of convolutions.
class ImageChainKernel final : public Kernel {
 public:
  ImageChainKernel(const Api& api, std::string subject, std::unique_ptr<ImageChain> chain)
      : Kernel(api, std::move(subject)), chain_(std::move(chain)) {}

 private:
  void Run(OrtKernelContext* context) const override;

  const std::unique_ptr<ImageChain> chain_;
};

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_KERNEL_H_
