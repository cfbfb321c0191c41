// One run of a chain, shared by the threads that come to work on it.
//
// Either an item is a whole chain on one tile, or the items of one layer follow those of the
// one before and wait until those are done. Of tiles each thread begins with a share of its
// own: between layers that run one after the other, what it writes then comes from its own
// cache or goes to memory that no other cache holds. Other items are taken in order; a thread
// that waits knows that another is computing. So any number of threads will do, one included,
// and results are the same bits for all of them.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/workspace.h"
#include "kernels/chain/chain.h"
#include "kernels/chain/chain_plan.h"

namespace nfcompile {

// Row-major and of any alignment: [batch, features], or [image, features, places] where there
// are images. Input 0 then holds those images, and its features are what a window sees of them.
struct ChainOperands {
  std::vector<const float*> inputs;
  float* y = nullptr;
  int64_t batch = 0;  // rows, or places in all images
  const Images* images = nullptr;
  bool tiled_residual = false;  // whether images other than input 0 lie as tiles do
  bool tiled_y = false;
  const float* bias = nullptr;  // [out] of the first layer, in place of its own
  Form form = Form::kAuto;
};

class ChainRun {
 public:
  // Throws std::bad_alloc.
  ChainRun(const Chain& chain, const ChainOperands& operands, Threads threads);

  // How many threads can be of use; 1 where the work is too small to share.
  int64_t workers() const { return plan_.workers; }

  // Takes part until there is nothing left to take; never throws. `share`: which tiles to begin
  // with, a number of its own for each thread.
  void Work(int64_t share) noexcept;

  // Returns when everything is done that was taken, by any thread, after Work has returned.
  void WaitUntilDone() const { WaitFor(plan_.items); }

  // How many have found something to do.
  int64_t came() const { return came_; }

  // Whether a worker ran out of memory: the result is not complete then.
  bool out_of_memory() const { return out_of_memory_; }

 private:
  // Tiles that are still to be taken.
  struct alignas(64) Share {
    std::atomic<int64_t> next = 0;
    int64_t end = 0;
  };

  void WorkOnTiles(int64_t share);
  void WorkInOrder();
  void WaitFor(int64_t items) const;
  void RunItem(size_t step, int64_t tile, int64_t part, char* memory);
  void RunShared(size_t step, int64_t tile, int64_t part) noexcept;
  void RunRows(size_t layer, int64_t part);
  void PackInput(int input, int64_t tile, int64_t part, char* memory);
  void RunLayer(size_t layer, int64_t tile, int64_t part, char* memory);
  // Whether a tile's rows are neighbours in one image.
  bool InOneImage(int64_t tile) const;
  // How a slot that need not be brought into the tile is used where it lies: features of images
  // as tiles have them, or rows of one image. Nothing where it must be.
  std::optional<TileShape> InPlace(int slot, int64_t tile) const;
  // Where it then begins.
  int64_t PlaceOffset(int slot, int64_t tile) const;
  bool Tiled(int slot) const;
  Images Places(int slot) const;  // of y and the residual
  TileShape SlotShape(int slot, int64_t tile) const;
  void Unpack(int64_t tile, int64_t part, char* memory);
  // Writes the row of zeros behind a slot's features.
  void EndSlot(int slot, int64_t tile, int64_t part, char* memory) const;
  Epilogue LayerEpilogue(size_t layer) const;
  char* SlotData(int slot, char* memory) const;
  int64_t RowElements(int64_t tile) const;
  std::atomic<bool>& NonZero(int64_t tile, int64_t slot);

  const Chain& chain_;
  const ChainOperands& operands_;
  const ChainPlan plan_;
  std::unique_ptr<std::atomic<bool>[]> nonzero_;  // [tile, slot]
  std::unique_ptr<Workspace> shared_;
  std::vector<Share> shares_;
  std::atomic<int64_t> next_ = 0;
  std::atomic<int64_t> completed_ = 0;
  std::atomic<int64_t> came_ = 0;
  std::atomic<bool> out_of_memory_ = false;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_RUN_H_
