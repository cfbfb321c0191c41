// One node of a session: packed weights, and what a run does with them.
#ifndef NFCOMPILE_ORT_KERNEL_H_
#define NFCOMPILE_ORT_KERNEL_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/chain/chain_run.h"
#include "kernels/tile/window.h"
#include "ort/api.h"

namespace nfcompile::ort {

class Kernel {
 public:
  Kernel(const Api& api, std::string subject, std::unique_ptr<Chain> chain, bool is_product,
         std::optional<Window> window)
      : api_(api),
        subject_(std::move(subject)),
        chain_(std::move(chain)),
        is_product_(is_product),
        window_(std::move(window)) {}

  // Safe to call from several threads at once: a run changes nothing here but what is known of
  // the session's threads.
  OrtStatus* Compute(OrtKernelContext* context) const noexcept;

 private:
  void Run(OrtKernelContext* context) const;
  void RunChain(OrtKernelContext* context, const ChainOperands& operands) const;
  int64_t LikelyThreads(int64_t most) const;
  const float* OptionalInput(const OrtKernelContext* context, size_t index, const char* name,
                             const std::vector<int64_t>& dims) const;

  const Api api_;
  const std::string subject_;
  const std::unique_ptr<Chain> chain_;
  const bool is_product_;  // whether bias and residual are inputs of their own
  const std::optional<Window> window_;  // of a convolution
  mutable std::atomic<int64_t> shared_runs_ = 0;
  mutable std::atomic<int64_t> most_came_ = 1;
};

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_KERNEL_H_
