// A chain of sparse products, run as one: activations between its layers never leave the cache.
//
// The chain computes on slots. Slots 0 .. inputs - 1 are the inputs, slot inputs + l is what
// layer l gives. A layer reads one slot, and a product may add another one, or multiply with
// it; what some layers give are the results. So branches and residuals are chains, too, and so
// are products with norms between them. A single product is a chain of one layer.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/chain/buffers.h"
#include "kernels/epilogue.h"
#include "kernels/matmul.h"
#include "kernels/norm/norm.h"

namespace nfcompile {

struct ChainLayer {
  std::shared_ptr<const MatMul> matmul;  // or null, and then
  std::shared_ptr<const Norm> norm;
  Epilogue epilogue;        // of a product, without bias and residual
  std::vector<float> bias;  // [out], or empty
  int source = 0;           // slot of x
  int residual = -1;        // slot of the residual of a product, or -1

  int64_t in_features() const { return matmul ? matmul->in_features : norm->features(); }
  int64_t out_features() const { return matmul ? matmul->out_features : norm->features(); }
};

class Chain {
 public:
  // `inputs`: features of each input. `outputs`: slots of the results, among them the last one;
  // empty: that one. Throws std::invalid_argument where slots, widths or precisions do not fit
  // each other, or no layer is a product.
  Chain(std::vector<int64_t> inputs, std::vector<ChainLayer> layers,
        std::vector<int> outputs = {});

  int64_t inputs() const { return inputs_; }
  int64_t out_features() const { return layers_.back().out_features(); }
  const std::vector<ChainLayer>& layers() const { return layers_; }
  const std::vector<int>& outputs() const { return outputs_; }
  int OutputOf(int slot) const { return output_of_[slot]; }  // which result it is, or -1
  bool empty() const;                                        // whether no result has features
  int64_t features(int slot) const { return features_[slot]; }
  int slots() const { return static_cast<int>(features_.size()); }

  // Whether a slot is an input that layers only add or multiply with: it need not be brought
  // into tiles.
  bool only_residual(int slot) const { return only_residual_[slot]; }

  // Whether one of the products is such.
  template <typename Predicate>
  bool AnyProduct(Predicate predicate) const {
    return std::any_of(layers_.begin(), layers_.end(), [&](const ChainLayer& layer) {
      return layer.matmul != nullptr && predicate(*layer.matmul);
    });
  }

  // Whether tiles hold a slot as the precision says: products read it. Others are float.
  bool multiplied(int slot) const { return multiplied_[slot]; }

  // Whether a layer gives zeros where it reads zeros only.
  bool keeps_zero(int layer) const { return keeps_zero_[layer]; }

  // The largest batch that runs over rows as they lie.
  int64_t max_row_batch() const { return max_row_batch_; }

  const TileKernel& tile_kernel() const { return *tile_kernel_; }
  // For batches that fill half a vector, where all layers have one; else null.
  const TileKernel* half_kernel() const { return half_kernel_; }

  // Where each slot lives: over rows (neither inputs nor results), in floats, and over tiles,
  // in bytes of a batch row.
  const Buffers& row_buffers() const { return row_buffers_; }
  const Buffers& tile_buffers() const { return tile_buffers_; }

  // Whether a slot is a result in fp32 that no layer reads, whose features come in order: tiles
  // of several vectors take it out a few features at a time, and it lives nowhere.
  bool streamed(int slot) const { return streamed_[slot]; }
  const Buffers& streaming_buffers() const { return streaming_buffers_; }

  // What should stay in the cache, in bytes of a batch row: not results that no layer reads,
  // where they are streamed or weigh less than the weights.
  int64_t cached_bytes() const { return cached_bytes_; }

 private:
  void CheckLayer(size_t l) const;
  void SetOutputs(std::vector<int> outputs);
  bool ProductsAlone() const;
  void AssignSlots();
  int64_t TileBytes(int slot) const;

  int64_t inputs_;
  std::vector<ChainLayer> layers_;
  std::vector<int> outputs_;
  std::vector<int> output_of_;
  std::vector<int64_t> features_;
  std::vector<bool> only_residual_;
  std::vector<bool> multiplied_;
  std::vector<bool> keeps_zero_;
  int64_t max_row_batch_ = 0;
  const TileKernel* tile_kernel_ = nullptr;
  const TileKernel* half_kernel_ = nullptr;
  Buffers row_buffers_;
  Buffers tile_buffers_;
  std::vector<bool> streamed_;
  Buffers streaming_buffers_;
  int64_t cached_bytes_ = 0;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_H_
