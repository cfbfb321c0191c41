#include "kernels/chain/chain_items.h"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "base/partition.h"

namespace nfcompile {
namespace {

// What a stripe of a streamed result fills: half of a second-level cache (Zen 4, 1 MiB).
constexpr int64_t kStripeBytes = 512 << 10;

// Writes zeros to `rows` of a tile; of several vectors, those of one row are neighbours or
// those of one vector are.
void ClearRows(char* tile, const TileShape& shape, size_t element, Range rows) {
  const bool by_feature = shape.row > shape.vector;
  const int runs = by_feature ? 1 : shape.vectors;
  for (int v = 0; v < runs; ++v) {
    std::memset(tile + (v * shape.vector + rows.begin * shape.row) * element, 0,
                rows.size() * shape.row * element);
  }
}

}  // namespace

ChainItems::ChainItems(const Chain& chain, const ChainOperands& operands, const ChainPlan& plan)
    : chain_(chain), operands_(operands), plan_(plan) {
  if (plan_.kernel != nullptr) {
    nonzero_ = std::make_unique<std::atomic<bool>[]>(plan_.tiles * chain.slots());
  }
}

void ChainItems::Run(size_t step, int64_t tile, int64_t part, char* memory) {
  const ChainStep& at = plan_.steps[step];
  if (plan_.kernel == nullptr) {
    RunRows(at, part, memory);
  } else if (at.kind == ChainStep::kPack) {
    PackInput(at, tile, part, memory);
  } else if (at.kind == ChainStep::kUnpack) {
    Unpack(at, tile, part, memory);
  } else if (chain_.layers()[at.index].matmul != nullptr) {
    RunLayer(at, tile, part, memory);
  } else {
    RunNorm(at, tile, part, memory);
  }
}

Epilogue ChainItems::LayerEpilogue(size_t l) const {
  const ChainLayer& layer = chain_.layers()[l];
  Epilogue epilogue = layer.epilogue;
  if (!layer.bias.empty()) epilogue.bias = layer.bias.data();
  if (l == 0 && operands_.bias != nullptr) epilogue.bias = operands_.bias;
  return epilogue;
}

void ChainItems::RunRows(const ChainStep& step, int64_t part, char* memory) {
  const ChainLayer& layer = chain_.layers()[step.index];
  const auto data = [&](int slot) -> float* {
    const int output = chain_.OutputOf(slot);
    if (output >= 0) return operands_.outputs[output];
    return reinterpret_cast<float*>(memory) +
           chain_.row_buffers().offset[slot] * operands_.batch;
  };
  const auto read = [&](int slot) {
    return slot < chain_.inputs() ? operands_.inputs[slot] : data(slot);
  };
  float* y = data(static_cast<int>(chain_.inputs() + step.index));
  if (layer.norm != nullptr) {
    NormalizeRows(ViewOf(*layer.norm, layer.bias), read(layer.source),
                  EvenRange(operands_.batch, part, step.parts), y);
    return;
  }
  Operands operands;
  operands.x = read(layer.source);
  operands.y = y;
  operands.batch = operands_.batch;
  operands.epilogue = LayerEpilogue(step.index);
  if (layer.residual >= 0) operands.epilogue.residual = read(layer.residual);
  const RowMatMul& rows = *layer.matmul->rows;
  rows.Run(operands, part, step.parts, ThreadWorkspace(rows.WorkspaceFloats()));
}

// Room is kept for the widest tile; the rows of a narrower one are closer together.
char* ChainItems::SlotData(int slot, char* memory) const {
  if (plan_.planes) return memory + plan_.PlaneOffset(chain_, slot);
  return memory + plan_.SlotBuffers(chain_).offset[slot] * plan_.tile_rows();
}

int64_t ChainItems::RowElements(int64_t tile) const {
  return plan_.Vectors(tile) * plan_.kernel->width;
}

std::atomic<bool>& ChainItems::NonZero(int64_t tile, int64_t slot) {
  return nonzero_[tile * chain_.slots() + slot];
}

TileShape ChainItems::SlotShape(int slot, int64_t tile) const {
  if (slot == 0 && plan_.planes) {
    return {plan_.Vectors(tile), kPlaneFloats, plan_.kernel->width};
  }
  return plan_.kernel->Shape(plan_.Vectors(tile), chain_.features(slot));
}

void ChainItems::EndSlot(int slot, int64_t tile, int64_t part, char* memory) const {
  if (part != 0 || !Narrow(slot)) return;
  const int64_t end = chain_.features(slot);
  ClearRows(SlotData(slot, memory), SlotShape(slot, tile), sizeof(uint16_t), {end, end + 1});
}

void ChainItems::PackInput(const ChainStep& step, int64_t tile, int64_t part, char* memory) {
  const int input = step.index;
  if (InPlace(input, tile)) {
    NonZero(tile, input).store(true, std::memory_order_relaxed);
    return;
  }
  const bool to_planes = input == 0 && plan_.planes;
  const int64_t features = to_planes ? plan_.planes->pixels.features() : chain_.features(input);
  const Range range = PackRange(features, part, step.parts);
  const Range rows = plan_.Rows(tile);
  const float* x = operands_.inputs[input];
  TileShape shape = SlotShape(input, tile);
  char* to = SlotData(input, memory);
  const TileKernel& kernel = *plan_.kernel;
  const auto gather = Narrow(input) ? kernel.gather : kernel.gather_float;
  bool any = false;
  if (operands_.images == nullptr) {
    const auto pack = Narrow(input) ? kernel.pack : kernel.pack_float;
    any = pack(x + rows.begin * features, features, rows.size(), range, shape, to);
  } else if (to_planes) {
    const Range reach = plan_.planes->Reach(rows);
    shape.vectors = static_cast<int>((reach.size() + shape.vector - 1) / shape.vector);
    any = gather(x, plan_.planes->pixels, reach, range, shape, to);
  } else {
    any = gather(x, input == 0 ? *operands_.images : Places(input), rows, range, shape, to);
  }
  if (any) NonZero(tile, input).store(true, std::memory_order_relaxed);
  EndSlot(input, tile, part, memory);
}

void ChainItems::RunLayer(const ChainStep& step, int64_t tile, int64_t part, char* memory) {
  const auto l = static_cast<size_t>(step.index);
  const ChainLayer& layer = chain_.layers()[l];
  const int slot = static_cast<int>(chain_.inputs() + l);
  const bool streamed = plan_.streams && chain_.streamed(slot);
  if (!streamed) EndSlot(slot, tile, part, memory);
  const auto zero = [&](int read) {
    return !NonZero(tile, read).load(std::memory_order_relaxed);
  };
  char* y = streamed ? nullptr : SlotData(slot, memory);
  const bool y_is_float = !Narrow(slot);
  const std::optional<TileShape> y_in_place = InPlace(slot, tile);
  // A residual of zeros may be left out before an activation only: behind it, -0 + 0 is 0. So
  // how wide tiles are, and which of them are zero, does not show.
  const bool adds_before = layer.epilogue.residual_mode == ResidualMode::kAddBefore;
  const bool multiplies = layer.epilogue.residual_mode == ResidualMode::kMultiply;
  const bool zero_residual = layer.residual >= 0 && zero(layer.residual);
  const bool has_residual = layer.residual >= 0 && !(adds_before && zero_residual);
  if (!y_in_place && zero(layer.source) && (!has_residual || (zero_residual && !multiplies)) &&
      chain_.keeps_zero(static_cast<int>(l)) && operands_.bias == nullptr) {
    const Range rows = EvenRange(layer.matmul->out_features, part, step.parts);
    if (streamed) return ClearResult(slot, tile, rows);
    ClearRows(y, SlotShape(slot, tile), y_is_float ? sizeof(float) : sizeof(uint16_t), rows);
    return;
  }
  TileOperands operands;
  operands.x = SlotData(layer.source, memory);
  operands.x_shape = SlotShape(layer.source, tile);
  if (const auto shape = InPlace(layer.source, tile)) {
    operands.x = operands_.inputs[layer.source] + PlaceOffset(layer.source, tile);
    operands.x_shape = *shape;
  }
  operands.y = y;
  operands.y_shape = SlotShape(slot, tile);
  operands.residual_shape = operands.y_shape;
  operands.residual = has_residual ? SlotData(layer.residual, memory) : nullptr;
  operands.residual_is_float = has_residual && !Narrow(layer.residual);
  if (y_in_place) {
    operands.y = operands_.outputs[0] + PlaceOffset(slot, tile);
    operands.y_shape = *y_in_place;
  }
  if (const auto shape = has_residual ? InPlace(layer.residual, tile) : std::nullopt) {
    operands.residual = operands_.inputs[layer.residual] + PlaceOffset(layer.residual, tile);
    operands.residual_shape = *shape;
  }
  operands.epilogue = LayerEpilogue(l);
  operands.y_is_float = y_is_float;
  if (plan_.planes) operands.taps = plan_.planes->taps.data();
  const TileWeights& weights = plan_.Weights(*layer.matmul);
  const Range units = BalancedRange(weights.cost.data(), weights.units, part, step.parts);
  if (streamed) return StreamLayer(operands, slot, tile, units);
  if (RunUnits(*plan_.kernel, weights, operands, units)) {
    NonZero(tile, slot).store(true, std::memory_order_relaxed);
  }
}

void ChainItems::StreamLayer(TileOperands operands, int slot, int64_t tile, Range units) {
  const TileWeights& weights = plan_.Weights(*chain_.layers()[slot - chain_.inputs()].matmul);
  const Range rows = plan_.Rows(tile);
  const int64_t features = chain_.features(slot);
  const int64_t unit = weights.unit_rows;
  const int64_t row_bytes = RowElements(tile) * static_cast<int64_t>(sizeof(float));
  const int64_t stripe = std::max<int64_t>(kStripeBytes / (unit * row_bytes), 1);
  float* y = operands_.outputs[chain_.OutputOf(slot)] + rows.begin * features;
  float* sums = ThreadWorkspace((stripe * unit + kTileSlack) * RowElements(tile));
  for (int64_t u = units.begin; u < units.end; u += stripe) {
    const Range some{u, std::min(u + stripe, units.end)};
    const int64_t first = some.begin * unit;
    const int64_t count = std::min(some.end * unit, features) - first;
    operands.y_shape = plan_.kernel->Shape(plan_.Vectors(tile), count);
    operands.y = sums - first * operands.y_shape.row;  // where output 0 would lie
    RunUnits(*plan_.kernel, weights, operands, some);
    plan_.kernel->unpack(sums, operands.y_shape, rows.size(), {0, count}, y + first, features);
  }
}

void ChainItems::ClearResult(int slot, int64_t tile, Range features) const {
  const Range rows = plan_.Rows(tile);
  float* y = operands_.outputs[chain_.OutputOf(slot)];
  for (int64_t m = rows.begin; m < rows.end; ++m) {
    std::fill_n(y + m * chain_.features(slot) + features.begin, features.size(), 0.0f);
  }
}

// A part is some vectors, of all features.
void ChainItems::RunNorm(const ChainStep& step, int64_t tile, int64_t part, char* memory) {
  const ChainLayer& layer = chain_.layers()[step.index];
  const int slot = static_cast<int>(chain_.inputs() + step.index);
  EndSlot(slot, tile, part, memory);
  TileNorm norm;
  norm.norm = ViewOf(*layer.norm, layer.bias);
  norm.x = SlotData(layer.source, memory);
  norm.x_shape = SlotShape(layer.source, tile);
  norm.x_is_float = !Narrow(layer.source);
  norm.y = SlotData(slot, memory);
  norm.y_shape = SlotShape(slot, tile);
  norm.y_is_float = !Narrow(slot);
  plan_.kernel->normalize(norm, EvenRange(norm.x_shape.vectors, part, step.parts));
  NonZero(tile, slot).store(true, std::memory_order_relaxed);
}

void ChainItems::Unpack(const ChainStep& step, int64_t tile, int64_t part, char* memory) {
  const int slot = chain_.outputs()[step.index];
  if (InPlace(slot, tile)) return;
  const int64_t features = chain_.features(slot);
  const Range range = PackRange(features, part, step.parts);
  const Range rows = plan_.Rows(tile);
  const TileShape shape = SlotShape(slot, tile);
  const char* from = SlotData(slot, memory);
  float* y = operands_.outputs[step.index];
  if (operands_.images == nullptr) {
    const auto unpack = Narrow(slot) ? plan_.kernel->unpack : plan_.kernel->unpack_float;
    unpack(from, shape, rows.size(), range, y + rows.begin * features, features);
  } else {
    plan_.kernel->scatter(reinterpret_cast<const float*>(from), shape, Places(slot), rows,
                          range, y);
  }
}

}  // namespace nfcompile
