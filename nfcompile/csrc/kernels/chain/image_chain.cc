#include "kernels/chain/image_chain.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/partition.h"
#include "base/text.h"

namespace nfcompile {
namespace {

// What the slots of a group of images may fill: a part of a last-level cache that others use,
// too.
constexpr int64_t kGroupBytes = 8 << 20;

// Places of the smallest images that a group should have before there are two: fewer do not
// fill tiles.
constexpr int64_t kGroupPlaces = 512;
// What each thread may have of its own: of larger images the threads share each layer.
constexpr int64_t kOwnGroupBytes = 64 << 20;
// Groups for each thread that may be shared out unevenly.
constexpr int64_t kManyGroups = 4;

}  // namespace

ImageChain::ImageChain(int64_t inputs, std::vector<ChainLayer> layers,
                       std::vector<Window> windows)
    : inputs_(inputs) {
  Require(!layers.empty(), "a chain must have at least one layer");
  for (size_t l = 0; l < layers.size(); ++l) {
    ChainLayer& layer = layers[l];
    const int64_t slots = inputs + static_cast<int64_t>(l);
    Check(windows[l]);
    Require(layer.matmul != nullptr, "layer ", l, " must be a convolution");
    Require(layer.source >= 0 && layer.source < slots, "source of layer ", l,
            " must lie in 0 .. ", slots - 1, ", got ", layer.source);
    Require(layer.residual >= -1 && layer.residual < slots, "residual of layer ", l,
            " must lie in -1 .. ", slots - 1, ", got ", layer.residual);
    Layer made;
    made.window = std::move(windows[l]);
    made.source = layer.source;
    made.residual = layer.residual;
    std::vector<int64_t> features{layer.matmul->in_features};
    if (layer.residual >= 0) features.push_back(layer.matmul->out_features);
    layer.source = 0;
    layer.residual = layer.residual < 0 ? -1 : 1;
    std::vector<ChainLayer> alone;
    alone.push_back(std::move(layer));
    made.chain = std::make_unique<Chain>(std::move(features), std::move(alone));
    layers_.push_back(std::move(made));
  }
}

ImageRun::ImageRun(const ImageChain& chain, std::vector<std::vector<int64_t>> dims,
                   Threads threads)
    : chain_(chain), threads_(threads), dims_(std::move(dims)) {
  const auto count = static_cast<int64_t>(chain.layers());
  for (int64_t l = 0; l < count; ++l) {
    const ImageChain::Layer& layer = chain.layers_[l];
    const std::vector<int64_t>& x = dims_[layer.source];
    const Images images = MakeImages(layer.window, x, layer.chain->features(0));
    std::vector<int64_t> y{x[0], layer.chain->out_features(), images.out_shape[0],
                           images.out_shape[1]};
    Require(layer.residual < 0 || dims_[layer.residual] == y, "the residual of layer ", l,
            " must have the shape of its result");
    images_.push_back(images);
    dims_.push_back(std::move(y));
  }
  ArrangeSlots();
  ArrangeGroups();
}

// The number of images in a group follows from the shapes alone, and so do all sums.
void ImageRun::ArrangeGroups() {
  const int64_t batch = y_dims()[0];
  const int64_t bytes =
      std::max<int64_t>(buffers_.size, 1) * static_cast<int64_t>(sizeof(float));
  int64_t fewest = kGroupPlaces;
  for (const Images& images : images_) fewest = std::min(fewest, images.places());
  const int64_t shared =
      std::max(CeilDiv(batch, 2), CeilDiv(kGroupPlaces, std::max<int64_t>(fewest, 1)));
  group_ = std::clamp<int64_t>(std::min(kGroupBytes / bytes, shared), 1,
                               std::max<int64_t>(batch, 1));
  groups_ = CeilDiv(batch, group_);
  if (groups_ > 0) group_ = CeilDiv(batch, groups_);  // even ones
  int64_t workers = 1;
  for (size_t l = 0; l < chain_.layers(); ++l) {
    const int64_t places = group_ * images_[l].places();
    const ChainPlan plan =
        PlanChain(*chain_.layers_[l].chain, places, Form::kAuto, threads_, &images_[l]);
    workers = std::max(workers, plan.workers);
  }
  // Work that is worth sharing, in as many groups for each thread.
  const int64_t likely = threads_.likely;
  by_group_ = likely > 1 && workers > 1 && group_ * bytes <= kOwnGroupBytes &&
              (groups_ >= kManyGroups * likely || (groups_ > 0 && groups_ % likely == 0));
  workers_ = by_group_ ? std::min(threads_.most, groups_) : workers;
}

const TileKernel& ImageRun::Kernel(size_t layer) const {
  return chain_.layers_[layer].chain->tile_kernel();
}

// Layers that read one pixel, or add it, use images that lie as tiles do where they are;
// windows gather them from there unless they leave out pixels of a line.
void ImageRun::ArrangeSlots() {
  const auto inputs = static_cast<size_t>(chain_.inputs());
  tiled_.assign(dims_.size(), false);
  std::vector<SlotLife> lives(inputs);
  for (size_t l = 0; l < chain_.layers(); ++l) {
    const ImageChain::Layer& layer = chain_.layers_[l];
    // Of bf16 the tiles are narrow; few places may run on half a vector.
    const bool whole =
        Kernel(l).precision == Precision::kFloat32 && images_[l].places() >= Kernel(l).width;
    const auto at = static_cast<int64_t>(l);
    if (layer.residual >= 0) {
      lives[layer.residual].last = at;
      if (!whole) tiled_[layer.residual] = false;
    }
    lives[layer.source].last = at;
    if (!whole || images_[l].columns.stride > 1) tiled_[layer.source] = false;
    lives.push_back({at, at, 0});
    tiled_[inputs + l] = whole && l + 1 < chain_.layers();
  }
  for (size_t l = 0; l + 1 < chain_.layers(); ++l) {
    const size_t slot = inputs + l;
    lives[slot].size = SlotSize(slot);
    images_[l].tiled = tiled_[chain_.layers_[l].source];
    if (!tiled_[slot]) continue;
    const int64_t vectors = CeilDiv(images_[l].places(), Kernel(l).width);
    lives[slot].size = vectors * Kernel(l).width * (dims_[slot][1] + 1);
  }
  images_.back().tiled = tiled_[chain_.layers_.back().source];
  buffers_ = AssignBuffers(lives);
}

int64_t ImageRun::SlotSize(size_t slot) const {
  return dims_[slot][1] * dims_[slot][2] * dims_[slot][3];
}

void ImageRun::SetOperands(std::vector<const float*> inputs, float* y) {
  inputs_ = std::move(inputs);
  y_ = y;
  if (!by_group_) {
    memory_ = std::make_unique<Workspace>(buffers_.size * group_ * sizeof(float));
  }
}

std::unique_ptr<ImageRun::Step> ImageRun::Begin(int64_t group, size_t l, char* memory,
                                                Threads threads) const {
  const ImageChain::Layer& layer = chain_.layers_[l];
  const int64_t first = group * group_;
  const int64_t slot = chain_.inputs() + static_cast<int64_t>(l);
  const auto own = [&](int64_t at) {
    return reinterpret_cast<float*>(memory) + buffers_.offset[at] * group_;
  };
  const auto read = [&](int64_t at) -> const float* {
    return at < chain_.inputs() ? inputs_[at] + first * SlotSize(at) : own(at);
  };
  auto made = std::make_unique<Step>();
  ChainOperands& operands = made->operands;
  operands.images = &images_[l];
  operands.batch = std::min(group_, y_dims()[0] - first) * images_[l].places();
  operands.inputs.push_back(read(layer.source));
  operands.tiled_y = tiled_[slot];
  if (layer.residual >= 0) {
    operands.inputs.push_back(read(layer.residual));
    operands.tiled_residual = tiled_[layer.residual];
  }
  operands.outputs = {l + 1 == chain_.layers() ? y_ + first * SlotSize(slot) : own(slot)};
  made->run = std::make_unique<ChainRun>(*layer.chain, operands, threads);
  return made;
}

void ImageRun::Work(int64_t share) noexcept {
  try {
    if (by_group_) {
      WorkOnGroups();
    } else {
      WorkOnLayers(share);
    }
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

void ImageRun::WorkOnGroups() {
  std::unique_ptr<Workspace> own;
  for (int64_t group = 0; (group = next_group_.fetch_add(1)) < groups_;) {
    if (own == nullptr) {
      came_.fetch_add(1, std::memory_order_relaxed);
      own = std::make_unique<Workspace>(buffers_.size * group_ * sizeof(float));
    }
    for (size_t l = 0; l < chain_.layers(); ++l) {
      const std::unique_ptr<Step> step = Begin(group, l, own->data(), {.most = 1, .likely = 1});
      step->run->Work(0);
      if (step->run->out_of_memory()) throw std::bad_alloc();
    }
  }
}

void ImageRun::WorkOnLayers(int64_t share) {
  const auto layers = static_cast<int64_t>(chain_.layers());
  for (bool first = true; true; first = false) {
    std::shared_ptr<Step> current;
    int64_t step = 0;
    {
      const std::lock_guard lock(lock_);
      if (step_ == groups_ * layers || out_of_memory_) return;
      if (current_ == nullptr) {
        current_ = Begin(step_ / layers, step_ % layers, memory_->data(), threads_);
      }
      current = current_;
      step = step_;
    }
    if (first) came_.fetch_add(1, std::memory_order_relaxed);
    current->run->Work(share);
    if (!current->run->out_of_memory()) current->run->WaitUntilDone();
    const std::lock_guard lock(lock_);
    if (current->run->out_of_memory()) out_of_memory_ = true;
    if (step_ == step) {
      ++step_;
      current_ = nullptr;
    }
  }
}

}  // namespace nfcompile
