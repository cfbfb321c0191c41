// What the items of a run compute: a chain's inputs brought into a tile, a layer of it, its
// results taken out; or a part of a layer over rows as they lie.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_ITEMS_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_ITEMS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/chain/chain.h"
#include "kernels/chain/chain_plan.h"

namespace nfcompile {

// Row-major and of any alignment: [batch, features], or [image, features, places] where there
// are images. Input 0 then holds those images, and its features are what a window sees of them.
struct ChainOperands {
  std::vector<const float*> inputs;
  std::vector<float*> outputs;
  int64_t batch = 0;  // rows, or places in all images
  const Images* images = nullptr;
  bool tiled_residual = false;  // whether images other than input 0 lie as tiles do
  bool tiled_y = false;         // whether the result of images does
  const float* bias = nullptr;  // [out] of the first layer, in place of its own
  Form form = Form::kAuto;
};

// The operands and the plan must outlive it.
class ChainItems {
 public:
  ChainItems(const Chain& chain, const ChainOperands& operands, const ChainPlan& plan);

  // Part `part` of a step on one tile, whose buffers are `memory`; throws std::bad_alloc. Any
  // number of threads may run items whose steps are not earlier than others' of that tile.
  void Run(size_t step, int64_t tile, int64_t part, char* memory);

 private:
  void RunRows(const ChainStep& step, int64_t part, char* memory);
  void PackInput(const ChainStep& step, int64_t tile, int64_t part, char* memory);
  void RunLayer(const ChainStep& step, int64_t tile, int64_t part, char* memory);
  // Units `units` of a layer whose result is streamed.
  void StreamLayer(TileOperands operands, int slot, int64_t tile, Range units);
  void ClearResult(int slot, int64_t tile, Range features) const;
  void RunNorm(const ChainStep& step, int64_t tile, int64_t part, char* memory);
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
  void Unpack(const ChainStep& step, int64_t tile, int64_t part, char* memory);
  // Writes the row of zeros behind a slot's features.
  void EndSlot(int slot, int64_t tile, int64_t part, char* memory) const;
  Epilogue LayerEpilogue(size_t layer) const;
  char* SlotData(int slot, char* memory) const;
  // Whether a slot lies in tiles of bf16.
  bool Narrow(int slot) const { return plan_.narrow() && chain_.multiplied(slot); }
  int64_t RowElements(int64_t tile) const;
  std::atomic<bool>& NonZero(int64_t tile, int64_t slot);

  const Chain& chain_;
  const ChainOperands& operands_;
  const ChainPlan& plan_;
  std::unique_ptr<std::atomic<bool>[]> nonzero_;  // [tile, slot]
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_ITEMS_H_
