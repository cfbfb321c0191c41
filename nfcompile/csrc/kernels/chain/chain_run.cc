#include "kernels/chain/chain_run.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/partition.h"

namespace nfcompile {
namespace {

// About two microseconds: what it costs a thread to come and to wait for the others.
constexpr int64_t kMinMacsPerItem = 1 << 16;
// Parts per thread, so that a thread that is held up delays the others by little.
constexpr int64_t kPartsPerThread = 2;
// Packing one element costs about as much as this many multiply-adds.
constexpr int64_t kPackMacs = 8;
constexpr int64_t kPackUnit = 64;
// What the buffers of a tile may fill: little more than a second-level cache, since not all of
// them are in use at once (Zen 4, 1 MiB: best for cascades 1024 and 4096 wide).
constexpr int64_t kTileBytes = 3 << 20;
constexpr int64_t kSpins = 4096;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

Range PackRange(int64_t features, int64_t part, int64_t parts) {
  const Range units = EvenRange(CeilDiv(features, kPackUnit), part, parts);
  return {units.begin * kPackUnit, std::min(units.end * kPackUnit, features)};
}

}  // namespace

ChainRun::ChainRun(const Chain& chain, const ChainOperands& operands, int64_t threads)
    : chain_(chain), operands_(operands) {
  if (operands.batch == 0) return;
  const bool few = operands.batch <= chain.max_row_batch();
  if (operands.form == Form::kRows || (operands.form == Form::kAuto && few)) {
    PlanRows(threads);
  } else {
    PlanTiles(threads);
  }
}

void ChainRun::AddStep(int64_t macs, int64_t tiles, int64_t threads, int64_t most) {
  const int64_t wanted = threads == 1 ? 1 : CeilDiv(threads * kPartsPerThread, tiles);
  const int64_t affordable = std::max<int64_t>(macs / kMinMacsPerItem, 1);
  const int64_t parts =
      std::clamp<int64_t>(std::min(wanted, affordable), 1, std::max<int64_t>(most, 1));
  steps_.push_back({items_, parts});
  items_ += parts * tiles;
  workers_ = std::max(workers_, std::min(threads, parts * tiles));
}

void ChainRun::PlanRows(int64_t threads) {
  for (const ChainLayer& layer : chain_.layers()) {
    const RowMatMul& rows = *layer.matmul->rows;
    AddStep(rows.macs() * operands_.batch, 1, threads, rows.units());
  }
  tile_bytes_ = chain_.row_buffers().features * operands_.batch * sizeof(float);
  shared_ = std::make_unique<Workspace>(tile_bytes_);
}

void ChainRun::PlanTiles(int64_t threads) {
  const MatMul& first = *chain_.layers()[0].matmul;
  kernel_ = first.tile_kernel;
  if (first.half_kernel != nullptr && operands_.batch <= first.half_kernel->width) {
    kernel_ = first.half_kernel;
  }
  element_size_ = kernel_->precision == Precision::kFloat32 ? sizeof(float) : sizeof(uint16_t);
  // The widest tile whose buffers stay in cache: the more batch rows, the less weights count.
  const int64_t features = chain_.tile_buffers().features;
  vectors_ = kMaxTileVectors;
  const auto too_large = [&] {
    return features * vectors_ * kernel_->width * static_cast<int64_t>(element_size_) >
           kTileBytes;
  };
  while (vectors_ > 1 && (too_large() || (vectors_ / 2) * kernel_->width >= operands_.batch)) {
    vectors_ /= 2;
  }
  tile_rows_ = vectors_ * kernel_->width;
  tiles_ = CeilDiv(operands_.batch, tile_rows_);
  // The result may be float where the other slots are bf16.
  tile_bytes_ = features * tile_rows_ * element_size_;
  if (element_size_ != sizeof(float)) {
    tile_bytes_ += (chain_.out_features() + kTileSlack) * tile_rows_ * sizeof(float);
  }
  by_tile_ = tiles_ >= kPartsPerThread * threads;
  nonzero_ = std::make_unique<std::atomic<bool>[]>(tiles_ * chain_.slots());
  const int64_t shared_threads = by_tile_ ? 1 : threads;
  int64_t macs = 0;
  const auto add = [&](int64_t step_macs, int64_t most) {
    macs += step_macs;
    AddStep(step_macs, by_tile_ ? 1 : tiles_, shared_threads, most);
  };
  for (int64_t i = 0; i < chain_.inputs(); ++i) {
    const int64_t size = chain_.features(static_cast<int>(i));
    add(size * kPackMacs * tile_rows_, CeilDiv(size, kPackUnit));
  }
  for (const ChainLayer& layer : chain_.layers()) {
    const TileWeights& tile = layer.matmul->tile;
    add(tile.cost[tile.units] * tile_rows_, tile.units);
  }
  add(chain_.out_features() * kPackMacs * tile_rows_,
      CeilDiv(chain_.out_features(), kPackUnit));
  if (by_tile_) {
    items_ = tiles_;
    workers_ = macs * tiles_ < kPartsPerThread * kMinMacsPerItem ? 1 : threads;
  } else {
    shared_ = std::make_unique<Workspace>(tile_bytes_ * tiles_);
  }
}

void ChainRun::Work() noexcept {
  try {
    std::unique_ptr<Workspace> own;
    if (by_tile_) own = std::make_unique<Workspace>(tile_bytes_);
    size_t step = 0;
    while (true) {
      const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
      if (item >= items_) return;
      if (by_tile_) {
        for (size_t s = 0; s < steps_.size(); ++s) RunItem(s, item, 0, own->data());
        continue;
      }
      while (step + 1 < steps_.size() && steps_[step + 1].first_item <= item) ++step;
      for (int64_t spins = 0;
           completed_.load(std::memory_order_acquire) < steps_[step].first_item; ++spins) {
        if (spins < kSpins) {
          Pause();
        } else {
          std::this_thread::yield();
        }
      }
      const int64_t index = item - steps_[step].first_item;
      const int64_t tile = index / steps_[step].parts;
      RunShared(step, tile, index % steps_[step].parts);
      completed_.fetch_add(1, std::memory_order_release);
    }
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

// Counts as done also where it fails: others wait for it.
void ChainRun::RunShared(size_t step, int64_t tile, int64_t part) noexcept {
  try {
    RunItem(step, tile, part, shared_->data() + tile * tile_bytes_);
  } catch (const std::bad_alloc&) {
    out_of_memory_ = true;
  }
}

void ChainRun::RunItem(size_t step, int64_t tile, int64_t part, char* memory) {
  const auto inputs = static_cast<size_t>(chain_.inputs());
  if (kernel_ == nullptr) {
    RunRows(step, part);
  } else if (step < inputs) {
    PackInput(static_cast<int>(step), tile, part, memory);
  } else if (step < inputs + chain_.layers().size()) {
    RunLayer(step - inputs, tile, part, memory);
  } else {
    Unpack(tile, part, memory);
  }
}

Epilogue ChainRun::LayerEpilogue(size_t l) const {
  const ChainLayer& layer = chain_.layers()[l];
  Epilogue epilogue = layer.epilogue;
  if (!layer.bias.empty()) epilogue.bias = layer.bias.data();
  if (l == 0 && operands_.bias != nullptr) epilogue.bias = operands_.bias;
  return epilogue;
}

void ChainRun::RunRows(size_t l, int64_t part) {
  const ChainLayer& layer = chain_.layers()[l];
  const auto data = [&](int slot) -> float* {
    if (slot + 1 == chain_.slots()) return operands_.y;
    return reinterpret_cast<float*>(shared_->data()) +
           chain_.row_buffers().offset[slot] * operands_.batch;
  };
  const auto read = [&](int slot) {
    return slot < chain_.inputs() ? operands_.inputs[slot] : data(slot);
  };
  Operands operands;
  operands.x = read(layer.source);
  operands.y = data(static_cast<int>(chain_.inputs() + l));
  operands.batch = operands_.batch;
  operands.epilogue = LayerEpilogue(l);
  if (layer.residual >= 0) operands.epilogue.residual = read(layer.residual);
  const RowMatMul& rows = *layer.matmul->rows;
  rows.Run(operands, part, steps_[l].parts, ThreadWorkspace(rows.WorkspaceFloats()));
}

char* ChainRun::SlotData(int slot, char* memory) const {
  const bool apart = slot + 1 == chain_.slots() && element_size_ != sizeof(float);
  const int64_t feature =
      apart ? chain_.tile_buffers().features : chain_.tile_buffers().offset[slot];
  return memory + feature * tile_rows_ * element_size_;
}

int64_t ChainRun::TileBatch(int64_t tile) const {
  return std::min(tile_rows_, operands_.batch - tile * tile_rows_);
}

std::atomic<bool>& ChainRun::NonZero(int64_t tile, int64_t slot) {
  return nonzero_[tile * chain_.slots() + slot];
}

void ChainRun::EndSlot(int slot, int64_t part, char* memory) const {
  if (part != 0) return;
  const size_t row = tile_rows_ * element_size_;
  std::memset(SlotData(slot, memory) + chain_.features(slot) * row, 0, row);
}

void ChainRun::PackInput(int input, int64_t tile, int64_t part, char* memory) {
  const int64_t features = chain_.features(input);
  const Range range = PackRange(features, part, steps_[input].parts);
  const float* x = operands_.inputs[input] + tile * tile_rows_ * features;
  if (kernel_->pack(x, features, TileBatch(tile), range, vectors_, SlotData(input, memory))) {
    NonZero(tile, input).store(true, std::memory_order_relaxed);
  }
  EndSlot(input, part, memory);
}

void ChainRun::RunLayer(size_t l, int64_t tile, int64_t part, char* memory) {
  const ChainLayer& layer = chain_.layers()[l];
  const int slot = static_cast<int>(chain_.inputs() + l);
  const bool last = slot + 1 == chain_.slots();
  const int64_t parts = steps_[chain_.inputs() + l].parts;
  if (!last) EndSlot(slot, part, memory);
  const auto zero = [&](int read) {
    return !NonZero(tile, read).load(std::memory_order_relaxed);
  };
  char* y = SlotData(slot, memory);
  const bool adds = layer.residual >= 0 && !zero(layer.residual);
  if (zero(layer.source) && !adds && chain_.keeps_zero(static_cast<int>(l)) &&
      operands_.bias == nullptr) {
    const Range rows = EvenRange(layer.matmul->out_features, part, parts);
    const size_t row = tile_rows_ * (last ? sizeof(float) : element_size_);
    std::memset(y + rows.begin * row, 0, rows.size() * row);
    return;
  }
  TileOperands operands;
  operands.x = SlotData(layer.source, memory);
  operands.y = y;
  operands.residual = adds ? SlotData(layer.residual, memory) : nullptr;
  operands.epilogue = LayerEpilogue(l);
  operands.vectors = vectors_;
  operands.y_is_float = last || element_size_ == sizeof(float);
  const TileWeights& weights = layer.matmul->tile;
  const Range units = BalancedRange(weights.cost.data(), weights.units, part, parts);
  bool any = false;
  for (int64_t panel = 0; panel < weights.panels; ++panel) {
    const int64_t* first = weights.first_group.data() + panel * weights.units;
    operands.adds_to_y = panel > 0;
    operands.finishes = panel + 1 == weights.panels;
    any = kernel_->run(weights, operands, {first[units.begin], first[units.end]});
  }
  if (any) NonZero(tile, slot).store(true, std::memory_order_relaxed);
}

void ChainRun::Unpack(int64_t tile, int64_t part, char* memory) {
  const int64_t features = chain_.out_features();
  const Range range = PackRange(features, part, steps_.back().parts);
  float* y = operands_.y + tile * tile_rows_ * features;
  const auto* from = reinterpret_cast<const float*>(SlotData(chain_.slots() - 1, memory));
  kernel_->unpack(from, TileBatch(tile), range, vectors_, y, features);
}

}  // namespace nfcompile
