#include "kernels/chain/chain_plan.h"

#include <algorithm>

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
// The same for generated code, which reads a panel of x at a time.
constexpr int64_t kGeneratedTileBytes = 8 << 20;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The fewest vectors, of the numbers that a tile may have, that hold `rows` batch rows.
int FewestVectors(int64_t rows, int width, int most) {
  int vectors = most;
  while (vectors > 1 && vectors / 2 * width >= rows) vectors /= 2;
  return vectors;
}

}  // namespace

bool ChainPlan::narrow() const {
  return kernel != nullptr && kernel->precision == Precision::kBfloat16;
}

size_t ChainPlan::element_size() const { return narrow() ? sizeof(uint16_t) : sizeof(float); }

int64_t ChainPlan::tile_rows() const { return vectors * kernel->width; }

Range ChainPlan::Rows(int64_t tile) const {
  return {tile * tile_rows(), std::min((tile + 1) * tile_rows(), batch)};
}

int ChainPlan::Vectors(int64_t tile) const {
  return FewestVectors(Rows(tile).size(), kernel->width, vectors);
}

void ChainPlan::AddStep(int64_t macs, int64_t threads, int64_t most_parts) {
  const int64_t shared_tiles = by_tile ? 1 : tiles;
  const bool alone = threads == 1 || by_tile;
  const int64_t wanted = alone ? 1 : CeilDiv(threads * kPartsPerThread, shared_tiles);
  const int64_t affordable = std::max<int64_t>(macs / kMinMacsPerItem, 1);
  const int64_t parts =
      std::min(std::min(wanted, affordable), std::max<int64_t>(most_parts, 1));
  steps.push_back({items, parts});
  items += parts * shared_tiles;
  const int64_t worth = std::max<int64_t>(macs * shared_tiles / kMinMacsPerItem, 1);
  workers = std::max(workers, std::min({threads, parts * shared_tiles, worth}));
}

void ChainPlan::PlanRows(const Chain& chain, int64_t threads) {
  for (const ChainLayer& layer : chain.layers()) {
    const RowMatMul& rows = *layer.matmul->rows;
    AddStep(rows.macs() * batch, threads, rows.units());
  }
  tile_bytes = chain.row_buffers().features * batch * sizeof(float);
}

void ChainPlan::PlanTiles(const Chain& chain, Threads threads) {
  const MatMul& first = *chain.layers()[0].matmul;
  const TileKernel* half_kernel = chain.half_kernel();
  const bool half = half_kernel != nullptr && batch <= half_kernel->width;
  kernel = half ? half_kernel : first.tile_kernel;
  // The widest tile whose buffers stay in cache: the more batch rows, the less weights count.
  const int64_t features = chain.tile_buffers().features;
  const auto row_bytes = static_cast<int64_t>(kernel->width * element_size());
  // Generated code is longer than other weights, and the more worth reading seldom.
  const auto& layers = chain.layers();
  const bool generated = std::any_of(layers.begin(), layers.end(), [](const ChainLayer& layer) {
    return layer.matmul->TileFor(kMaxTileVectors).generated != nullptr;
  });
  int most = generated ? kMaxTileVectors : kTableVectors;
  const int64_t bytes = generated ? kGeneratedTileBytes : kTileBytes;
  while (most > 1 && features * most * row_bytes > bytes) most /= 2;
  // Where threads share out whole tiles, few of them are shared unevenly.
  const int64_t shared_out = kPartsPerThread * threads.likely;
  const auto uneven = [&](int64_t count) {
    return threads.likely > 1 && count >= shared_out && count < 2 * shared_out;
  };
  while (most > kTableVectors && uneven(CeilDiv(batch, most * kernel->width))) most /= 2;
  vectors = FewestVectors(batch, kernel->width, most);
  tiles = CeilDiv(batch, tile_rows());
  tile_bytes = features * tile_rows() * element_size();
  // The result is float, whatever the other slots are.
  if (narrow()) tile_bytes += (chain.out_features() + kTileSlack) * tile_rows() * sizeof(float);
  by_tile = tiles >= shared_out;
  int64_t macs = 0;
  const auto add = [&](int64_t row_macs, int64_t most_parts) {
    macs += row_macs * tile_rows();
    AddStep(row_macs * tile_rows(), threads.most, most_parts);
  };
  const auto add_transpose = [&](int64_t size) {
    add(size * kPackMacs, CeilDiv(size, kPackUnit));
  };
  for (int i = 0; i < chain.inputs(); ++i) add_transpose(chain.features(i));
  for (const ChainLayer& layer : chain.layers()) {
    const TileWeights& tile = layer.matmul->TileFor(vectors);
    add(tile.cost[tile.units], tile.units);
  }
  add_transpose(chain.out_features());
  if (!by_tile) return;
  items = tiles;
  const bool small = macs * tiles < kPartsPerThread * kMinMacsPerItem;
  workers = small ? 1 : std::min(threads.most, tiles);
}

ChainPlan PlanChain(const Chain& chain, int64_t batch, Form form, Threads threads) {
  ChainPlan plan;
  plan.batch = batch;
  if (batch == 0) return plan;
  const bool few = batch <= chain.max_row_batch();
  if (form == Form::kRows || (form == Form::kAuto && few)) {
    plan.PlanRows(chain, threads.most);
  } else {
    plan.PlanTiles(chain, threads);
  }
  return plan;
}

Range PackRange(int64_t features, int64_t part, int64_t parts) {
  const Range units = EvenRange(CeilDiv(features, kPackUnit), part, parts);
  return {units.begin * kPackUnit, std::min(units.end * kPackUnit, features)};
}

}  // namespace nfcompile
