// A chain of sparse products, run as one: activations between its layers never leave the cache.
//
// The chain computes on slots. Slots 0 .. inputs - 1 are the inputs, slot inputs + l is what
// layer l gives. A layer reads one slot and may add another one; the last layer's slot is the
// result. So branches and residuals are chains, too. A single product is a chain of one layer.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/chain/buffers.h"
#include "kernels/epilogue.h"
#include "kernels/matmul.h"

namespace nfcompile {

struct ChainLayer {
  std::shared_ptr<const MatMul> matmul;
  Epilogue epilogue;        // without bias and residual
  std::vector<float> bias;  // [out], or empty
  int source = 0;           // slot of x
  int residual = -1;        // slot of the residual, or -1
};

class Chain {
 public:
  // `inputs`: features of each input. Throws std::invalid_argument where slots, widths or
  // precisions do not fit each other.
  Chain(std::vector<int64_t> inputs, std::vector<ChainLayer> layers);

  int64_t inputs() const { return inputs_; }
  int64_t out_features() const { return layers_.back().matmul->out_features; }
  const std::vector<ChainLayer>& layers() const { return layers_; }
  int64_t features(int slot) const { return features_[slot]; }
  int slots() const { return static_cast<int>(features_.size()); }

  // Whether a slot is an input that layers only add: it need not be brought into tiles.
  bool only_added(int slot) const { return only_added_[slot]; }

  // Whether a layer gives zeros where it reads zeros only.
  bool keeps_zero(int layer) const { return keeps_zero_[layer]; }

  // The largest batch that runs over rows as they lie.
  int64_t max_row_batch() const { return max_row_batch_; }

  // For batches that fill half a vector, where all layers have one; else null.
  const TileKernel* half_kernel() const;

  // Where each slot lives: over rows (neither the inputs nor the result), and over tiles.
  const Buffers& row_buffers() const { return row_buffers_; }
  const Buffers& tile_buffers() const { return tile_buffers_; }

 private:
  int64_t inputs_;
  std::vector<ChainLayer> layers_;
  std::vector<int64_t> features_;
  std::vector<bool> only_added_;
  std::vector<bool> keeps_zero_;
  int64_t max_row_batch_ = 0;
  Buffers row_buffers_;
  Buffers tile_buffers_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_H_
