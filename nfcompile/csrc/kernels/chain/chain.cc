#include "kernels/chain/chain.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"

namespace nfcompile {
namespace {

bool KeepsZero(const ChainLayer& layer) {
  for (int64_t o = 0; o < layer.matmul->out_features; ++o) {
    const float bias = layer.bias.empty() ? 0.0f : layer.bias[o];
    if (Activate(layer.epilogue, bias) != 0.0f) return false;
  }
  return true;
}

}  // namespace

Chain::Chain(std::vector<int64_t> inputs, std::vector<ChainLayer> layers)
    : inputs_(static_cast<int64_t>(inputs.size())),
      layers_(std::move(layers)),
      features_(std::move(inputs)) {
  Require(!layers_.empty(), "a chain must have at least one layer");
  max_row_batch_ = std::numeric_limits<int64_t>::max();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const ChainLayer& layer = layers_[l];
    const MatMul& matmul = *layer.matmul;
    Require(layer.source >= 0 && layer.source < slots(), "source of layer ", l,
            " must lie in 0 .. ", slots() - 1, ", got ", layer.source);
    Require(layer.residual >= -1 && layer.residual < slots(), "residual of layer ", l,
            " must lie in -1 .. ", slots() - 1, ", got ", layer.residual);
    Require(features_[layer.source] == matmul.in_features, "layer ", l, " must read ",
            matmul.in_features, " features, got ", features_[layer.source]);
    Require(layer.residual < 0 || features_[layer.residual] == matmul.out_features,
            "the residual of layer ", l, " must have ", matmul.out_features, " features, got ",
            layer.residual < 0 ? 0 : features_[layer.residual]);
    Require(
        layer.bias.empty() || static_cast<int64_t>(layer.bias.size()) == matmul.out_features,
        "the bias of layer ", l, " must have ", matmul.out_features, " entries, got ",
        layer.bias.size());
    Require(matmul.tile_kernel == layers_[0].matmul->tile_kernel,
            "all layers of a chain must have one precision");
    features_.push_back(matmul.out_features);
    keeps_zero_.push_back(KeepsZero(layer));
    max_row_batch_ = std::min(max_row_batch_, matmul.rows->max_batch(layers_.size() == 1));
  }
  for (int slot = 0; slot < slots(); ++slot) only_added_.push_back(slot < inputs_);
  for (const ChainLayer& layer : layers_) only_added_[layer.source] = false;
  std::vector<SlotLife> over_rows(slots());
  std::vector<SlotLife> over_tiles(slots());
  for (int slot = 0; slot < slots(); ++slot) {
    const int64_t written = slot < inputs_ ? -1 : slot - inputs_;
    over_tiles[slot] = {written, written, std::max<int64_t>(features_[slot], 1)};
  }
  over_tiles.back().last = static_cast<int64_t>(layers_.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    over_tiles[layers_[l].source].last = static_cast<int64_t>(l);
    if (layers_[l].residual >= 0)
      over_tiles[layers_[l].residual].last = static_cast<int64_t>(l);
  }
  for (int slot = 0; slot < slots(); ++slot) {
    const bool inside = slot >= inputs_ && slot + 1 < slots();
    over_rows[slot] = over_tiles[slot];
    if (!inside) over_rows[slot].features = 0;
  }
  row_buffers_ = AssignBuffers(over_rows, 0);
  tile_buffers_ = AssignBuffers(over_tiles, kTileSlack);
}

const TileKernel* Chain::half_kernel() const {
  for (const ChainLayer& layer : layers_) {
    if (layer.matmul->half_kernel == nullptr) return nullptr;
  }
  return layers_[0].matmul->half_kernel;
}

}  // namespace nfcompile
