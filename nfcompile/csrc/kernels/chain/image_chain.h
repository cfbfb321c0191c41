// Convolutions that feed each other, run as one: a few images at a time go through all layers,
// so that activations stay in the cache.
//
// Slots are as of a chain (chain.h): the inputs, then what each layer gives, here images.
#ifndef NFCOMPILE_KERNELS_CHAIN_IMAGE_CHAIN_H_
#define NFCOMPILE_KERNELS_CHAIN_IMAGE_CHAIN_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/spin_lock.h"
#include "base/workspace.h"
#include "kernels/chain/chain_run.h"
#include "kernels/tile/window.h"

namespace nfcompile {

class ImageChain {
 public:
  // Throws std::invalid_argument where slots or windows are malformed.
  ImageChain(int64_t inputs, std::vector<ChainLayer> layers, std::vector<Window> windows);

  int64_t inputs() const { return inputs_; }
  size_t layers() const { return layers_.size(); }
  int64_t out_features() const { return layers_.back().chain->out_features(); }

 private:
  friend class ImageRun;

  // A layer alone, as a chain of one.
  struct Layer {
    std::unique_ptr<Chain> chain;
    Window window;
    int source = 0;
    int residual = -1;
  };

  int64_t inputs_;
  std::vector<Layer> layers_;
};

// One run, shared by the threads that come to work on it; see ChainRun. Where there are enough
// groups of images each thread takes one after the other through all layers, and no cache line
// goes from one processor to another; else they share each layer.
class ImageRun {
 public:
  // `dims` of each input: [n, channels, height, width]. Throws std::invalid_argument where they
  // do not fit the chain, and std::bad_alloc.
  ImageRun(const ImageChain& chain, std::vector<std::vector<int64_t>> dims, Threads threads);

  // Shape of the result.
  const std::vector<int64_t>& y_dims() const { return dims_.back(); }

  // Whether there is nothing to compute.
  bool empty() const { return y_dims()[0] == 0 || SlotSize(dims_.size() - 1) == 0; }

  // What is computed on; before the first call of Work.
  void SetOperands(std::vector<const float*> inputs, float* y);

  int64_t workers() const { return workers_; }
  void Work(int64_t share) noexcept;
  int64_t came() const { return came_; }
  bool out_of_memory() const { return out_of_memory_; }

 private:
  // A run of one layer on one group of images.
  struct Step {
    ChainOperands operands;
    std::unique_ptr<ChainRun> run;
  };

  int64_t SlotSize(size_t slot) const;  // floats of one image
  const TileKernel& Kernel(size_t layer) const;
  void ArrangeSlots();
  void ArrangeGroups();
  std::unique_ptr<Step> Begin(int64_t group, size_t layer, char* memory, Threads threads) const;
  void WorkOnGroups();
  void WorkOnLayers(int64_t share);

  const ImageChain& chain_;
  const Threads threads_;
  std::vector<std::vector<int64_t>> dims_;  // of each slot
  std::vector<Images> images_;              // of each layer
  std::vector<bool> tiled_;                 // whether a slot's images lie as tiles do
  std::vector<const float*> inputs_;
  float* y_ = nullptr;
  Buffers buffers_;    // of the slots between inputs and result, in floats of one image
  int64_t group_ = 1;  // images that go through the chain together
  int64_t groups_ = 0;
  int64_t workers_ = 1;
  bool by_group_ = false;  // whether a thread takes whole groups
  std::atomic<int64_t> next_group_ = 0;
  std::unique_ptr<Workspace> memory_;  // of the threads together
  SpinLock lock_;
  int64_t step_ = 0;  // guarded, like current_
  std::shared_ptr<Step> current_;
  std::atomic<int64_t> came_ = 0;
  std::atomic<bool> out_of_memory_ = false;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_IMAGE_CHAIN_H_
