#include "kernels/chain/chain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"

namespace nfcompile {
namespace {

// Whether reading a row of the weight costs more than a result that does not stay in the cache,
// which is written and read once for each batch row of a tile.
bool OutweighsResult(const MatMul& matmul) {
  const int64_t rows = kTableVectors * matmul.tile_kernel->width;
  return matmul.tile.bytes() >
         matmul.out_features * rows * 2 * static_cast<int64_t>(sizeof(float));
}

bool KeepsZero(const ChainLayer& layer) {
  if (layer.norm != nullptr) return false;  // it does not look
  for (int64_t o = 0; o < layer.out_features(); ++o) {
    const float bias = layer.bias.empty() ? 0.0f : layer.bias[o];
    const float y = Activate(layer.epilogue, bias);
    if (y != 0.0f || std::signbit(y)) return false;
  }
  return true;
}

}  // namespace

Chain::Chain(std::vector<int64_t> inputs, std::vector<ChainLayer> layers,
             std::vector<int> outputs)
    : inputs_(static_cast<int64_t>(inputs.size())),
      layers_(std::move(layers)),
      features_(std::move(inputs)) {
  Require(!layers_.empty(), "a chain must have at least one layer");
  max_row_batch_ = std::numeric_limits<int64_t>::max();
  for (size_t l = 0; l < layers_.size(); ++l) {
    CheckLayer(l);
    const ChainLayer& layer = layers_[l];
    features_.push_back(layer.out_features());
    keeps_zero_.push_back(KeepsZero(layer));
    if (layer.matmul == nullptr) continue;
    const MatMul& matmul = *layer.matmul;
    if (tile_kernel_ == nullptr) {
      tile_kernel_ = matmul.tile_kernel;
      half_kernel_ = matmul.half_kernel;
    }
    Require(matmul.tile_kernel == tile_kernel_,
            "all layers of a chain must have one precision");
    if (matmul.half_kernel == nullptr) half_kernel_ = nullptr;
  }
  Require(tile_kernel_ != nullptr, "a chain must have at least one product");
  const bool alone = ProductsAlone();
  for (const ChainLayer& layer : layers_) {
    if (layer.matmul == nullptr) continue;
    max_row_batch_ = std::min(max_row_batch_, layer.matmul->rows->max_batch(alone));
  }
  SetOutputs(std::move(outputs));
  AssignSlots();
}

void Chain::SetOutputs(std::vector<int> outputs) {
  outputs_ = std::move(outputs);
  if (outputs_.empty()) outputs_.push_back(slots() - 1);
  output_of_.assign(slots(), -1);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const int slot = outputs_[i];
    Require(slot >= inputs_ && slot < slots(), "an output of a chain must lie in ", inputs_,
            " .. ", slots() - 1, ", got ", slot);
    Require(output_of_[slot] < 0, "outputs of a chain must differ, got ", slot, " twice");
    output_of_[slot] = static_cast<int>(i);
  }
  Require(output_of_.back() >= 0, "the last layer of a chain must be an output");
}

// Whether no product reads what another one has given, be it through norms: each then needs its
// transposes as if it were alone.
bool Chain::ProductsAlone() const {
  std::vector<bool> given(inputs_, false);
  for (const ChainLayer& layer : layers_) {
    const bool is_product = layer.matmul != nullptr;
    if (is_product && given[layer.source]) return false;
    given.push_back(is_product || given[layer.source]);
  }
  return true;
}

void Chain::CheckLayer(size_t l) const {
  const ChainLayer& layer = layers_[l];
  Require(layer.source >= 0 && layer.source < slots(), "source of layer ", l,
          " must lie in 0 .. ", slots() - 1, ", got ", layer.source);
  Require(layer.residual >= -1 && layer.residual < slots(), "residual of layer ", l,
          " must lie in -1 .. ", slots() - 1, ", got ", layer.residual);
  Require(features_[layer.source] == layer.in_features(), "layer ", l, " must read ",
          layer.in_features(), " features, got ", features_[layer.source]);
  Require(layer.matmul != nullptr || layer.residual < 0, "layer ", l,
          " is a norm, which adds no residual");
  Require(layer.residual < 0 || features_[layer.residual] == layer.out_features(),
          "the residual of layer ", l, " must have ", layer.out_features(), " features, got ",
          layer.residual < 0 ? 0 : features_[layer.residual]);
  Require(layer.bias.empty() || static_cast<int64_t>(layer.bias.size()) == layer.out_features(),
          "the bias of layer ", l, " must have ", layer.out_features(), " entries, got ",
          layer.bias.size());
}

bool Chain::empty() const {
  return std::all_of(outputs_.begin(), outputs_.end(),
                     [&](int slot) { return features_[slot] == 0; });
}

// Of an even number of rows of memory, so that the next slot is aligned as this one is.
int64_t Chain::TileBytes(int slot) const {
  const bool narrow = tile_kernel_->precision == Precision::kBfloat16 && multiplied(slot);
  const int64_t rows = (std::max<int64_t>(features_[slot], 1) + kTileSlack + 1) / 2 * 2;
  return rows * static_cast<int64_t>(narrow ? sizeof(uint16_t) : sizeof(float));
}

void Chain::AssignSlots() {
  multiplied_.assign(slots(), false);
  std::vector<bool> read(slots(), false);
  for (int slot = 0; slot < slots(); ++slot) only_residual_.push_back(slot < inputs_);
  for (const ChainLayer& layer : layers_) {
    only_residual_[layer.source] = false;
    read[layer.source] = true;
    if (layer.residual >= 0) read[layer.residual] = true;
    if (layer.matmul != nullptr) multiplied_[layer.source] = true;
  }
  std::vector<SlotLife> over_rows(slots());
  std::vector<SlotLife> over_tiles(slots());
  for (int slot = 0; slot < slots(); ++slot) {
    const int64_t written = slot < inputs_ ? -1 : slot - inputs_;
    over_tiles[slot] = {written, written, TileBytes(slot)};
  }
  for (size_t l = 0; l < layers_.size(); ++l) {
    over_tiles[layers_[l].source].last = static_cast<int64_t>(l);
    if (layers_[l].residual >= 0)
      over_tiles[layers_[l].residual].last = static_cast<int64_t>(l);
  }
  for (int slot = 0; slot < slots(); ++slot) {
    const bool inside = slot >= inputs_ && OutputOf(slot) < 0;
    over_rows[slot] = over_tiles[slot];
    over_rows[slot].size = inside ? std::max<int64_t>(features_[slot], 1) : 0;
  }
  row_buffers_ = AssignBuffers(over_rows);
  tile_buffers_ = AssignBuffers(over_tiles);
  std::vector<SlotLife> cached = over_tiles;
  for (int slot = 0; slot < slots(); ++slot) {
    const MatMul* by = slot < inputs_ ? nullptr : layers_[slot - inputs_].matmul.get();
    const bool leaves = OutputOf(slot) >= 0 && !read[slot] && by != nullptr;
    const bool wide = tile_kernel_->precision == Precision::kFloat32;
    streamed_.push_back(leaves && wide && by->tile.unit_rows > 0);
    if (streamed_[slot]) over_tiles[slot].size = 0;
    if (streamed_[slot] || (leaves && OutweighsResult(*by))) cached[slot].size = 0;
  }
  streaming_buffers_ = AssignBuffers(over_tiles);
  cached_bytes_ = AssignBuffers(cached).size;
}

}  // namespace nfcompile
