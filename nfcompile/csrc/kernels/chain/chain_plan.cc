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
// And normalizing one.
constexpr int64_t kNormMacs = 4;
// What the buffers of a tile may fill: little more than a second-level cache, since not all of
// them are in use at once (Zen 4, 1 MiB: best for cascades 1024 and 4096 wide).
constexpr int64_t kTileBytes = 3 << 20;
// The same for generated code, which is the longer, so that it pays to read it seldom.
constexpr int64_t kGeneratedTileBytes = 8 << 20;

// Of three vectors two.
int Half(int vectors) { return (vectors + 1) / 2; }

// The fewest vectors, of the numbers that a tile may have, that hold `rows` batch rows.
int FewestVectors(int64_t rows, int width, int most) {
  int vectors = most;
  while (vectors > 1 && Half(vectors) * width >= rows) vectors = Half(vectors);
  return vectors;
}

// Whether threads are better off with tiles of their own, where they do not meet after each
// layer and read nothing that another one wrote, even if some then wait for the last ones.
bool SharedOut(int64_t tiles, int64_t threads) {
  const int64_t rounds = CeilDiv(tiles, threads);
  return rounds > kPartsPerThread || 4 * tiles >= 3 * rounds * threads;
}

// Where a chain is one convolution whose weights have code for planes of these images.
std::optional<Planes> FindPlanes(const Chain& chain, int64_t batch, const Images& images) {
  const MatMul& matmul = *chain.layers()[0].matmul;
  const bool plain =
      chain.layers().size() == 1 && chain.inputs() <= 2 && chain.layers()[0].residual != 0;
  if (matmul.planes.generated == nullptr || !plain) return std::nullopt;
  const Window& window = matmul.window;
  const auto same = [&](const WindowAxis& axis, size_t i) {
    return axis.kernel == window.kernel_shape[i] && axis.stride == window.strides[i] &&
           axis.dilation == window.dilations[i];
  };
  if (!same(images.rows, 0) || !same(images.columns, 1)) return std::nullopt;
  return ArrangePlanes(images, batch / images.places());
}

}  // namespace

bool ChainPlan::narrow() const {
  return kernel != nullptr && kernel->precision == Precision::kBfloat16;
}

int64_t ChainPlan::tile_rows() const { return vectors * kernel->width; }

Range ChainPlan::Rows(int64_t tile) const {
  if (!planes) return {tile * tile_rows(), std::min((tile + 1) * tile_rows(), batch)};
  const int64_t tiles_each = tiles / planes->segments;
  const int64_t first = tile / tiles_each * planes->segment;
  const int64_t begin = first + tile % tiles_each * tile_rows();
  return {begin, std::min(begin + tile_rows(), first + planes->segment)};
}

int ChainPlan::Vectors(int64_t tile) const {
  const int64_t rows = Rows(tile).size();
  if (narrow()) return FewestVectors(rows, kernel->width, vectors);
  return static_cast<int>(CeilDiv(rows, kernel->width));
}

const TileWeights& ChainPlan::Weights(const MatMul& matmul) const {
  return planes ? matmul.planes : matmul.TileFor(*kernel, full_vectors);
}

const Buffers& ChainPlan::SlotBuffers(const Chain& chain) const {
  return streams ? chain.streaming_buffers() : chain.tile_buffers();
}

// The planes, then the result, then the residual.
size_t ChainPlan::PlaneOffset(const Chain& chain, int slot) const {
  if (slot == 0) return 0;
  const int64_t planes_floats = planes->pixels.features() * kPlaneFloats;
  const int64_t other = slot + 1 == chain.slots() ? 0 : 1;
  const int64_t rows = other * (chain.out_features() + kTileSlack);
  return (planes_floats + rows * tile_rows()) * sizeof(float);
}

void ChainPlan::AddStep(ChainStep::Kind kind, int index, int64_t macs, int64_t threads,
                        int64_t most_parts) {
  const int64_t shared_tiles = by_tile ? 1 : tiles;
  const bool alone = threads == 1 || by_tile;
  const int64_t wanted = alone ? 1 : CeilDiv(threads * kPartsPerThread, shared_tiles);
  const int64_t affordable = std::max<int64_t>(macs / kMinMacsPerItem, 1);
  const int64_t parts =
      std::min(std::min(wanted, affordable), std::max<int64_t>(most_parts, 1));
  steps.push_back({kind, index, items, parts});
  items += parts * shared_tiles;
  const int64_t worth = std::max<int64_t>(macs * shared_tiles / kMinMacsPerItem, 1);
  workers = std::max(workers, std::min({threads, parts * shared_tiles, worth}));
}

void ChainPlan::PlanRows(const Chain& chain, int64_t threads) {
  for (size_t l = 0; l < chain.layers().size(); ++l) {
    const ChainLayer& layer = chain.layers()[l];
    const RowMatMul* rows = layer.matmul ? layer.matmul->rows.get() : nullptr;
    const int64_t macs = rows ? rows->macs() : layer.in_features() * kNormMacs;
    AddStep(ChainStep::kLayer, static_cast<int>(l), macs * batch, threads,
            rows ? rows->units() : batch);
  }
  tile_bytes = chain.row_buffers().size * batch * sizeof(float);
}

// The widest tile whose buffers stay in cache: the more batch rows, the less weights count.
// Follows from shapes alone, not from threads.
int ChainPlan::FullVectors(const Chain& chain, int64_t vector_bytes) const {
  const auto fewest = [&](int most, int64_t bytes) {
    while (most > 1 && most * vector_bytes > bytes) most = Half(most);
    return FewestVectors(batch, kernel->width, most);
  };
  const int coded = fewest(kMaxTileVectors, kGeneratedTileBytes);
  const bool runs_code = chain.AnyProduct([&](const MatMul& matmul) {
    return matmul.TileFor(*kernel, coded).generated != nullptr;
  });
  if (runs_code) return coded;
  const bool any_rows =
      chain.AnyProduct([](const MatMul& matmul) { return matmul.tile.rows != nullptr; });
  return fewest(any_rows ? kTableVectors : kernel->group_vectors, kTileBytes);
}

void ChainPlan::PlanTiles(const Chain& chain, Threads threads, bool rows) {
  const TileKernel* half_kernel = chain.half_kernel();
  const bool half = half_kernel != nullptr && batch <= half_kernel->width;
  kernel = half ? half_kernel : &chain.tile_kernel();
  const int64_t bytes_each = rows ? chain.cached_bytes() : chain.tile_buffers().size;
  full_vectors = FullVectors(chain, bytes_each * kernel->width);
  const bool ordered = chain.AnyProduct(
      [&](const MatMul& matmul) { return !matmul.TileFor(*kernel, full_vectors).same_sums; });
  vectors =
      ordered ? Evenly(full_vectors, batch, threads) : NarrowEnough(full_vectors, threads);
  tiles = CeilDiv(batch, tile_rows());
  streams = rows && vectors > 1 && !narrow();
  tile_bytes = SlotBuffers(chain).size * tile_rows();
  AddSteps(chain, threads);
}

void ChainPlan::PlanPlanes(const Chain& chain, Threads threads) {
  kernel = &chain.tile_kernel();
  batch = planes->segments * planes->segment;
  const int most = Evenly(planes->most_vectors, batch, threads);
  const int64_t all = CeilDiv(planes->segment, kernel->width);
  const int64_t tiles_each = CeilDiv(all, most);
  vectors = static_cast<int>(CeilDiv(all, tiles_each));
  tiles = planes->segments * CeilDiv(all, vectors);
  tile_bytes = PlaneOffset(chain, 1) +
               2 * (chain.out_features() + kTileSlack) * tile_rows() * sizeof(float);
  AddSteps(chain, threads);
}

// Tables cost little to read again (5 % of blocks of 16 x 16 at 16 rows, against 64, on Zen 4),
// so that tiles may be as narrow as threads need them, and as fill the registers.
int ChainPlan::NarrowEnough(int most, Threads threads) const {
  if (threads.likely == 1) return most;
  const auto rounds = [&](int vectors) {
    return CeilDiv(CeilDiv(batch, vectors * kernel->width), threads.likely);
  };
  const int least = kernel->group_vectors == kTableVectors ? 1 : 2;
  int best = most;
  for (int next = most; next > least;) {
    next = Half(next);
    const int64_t cost = rounds(next) * next;
    const int64_t before = rounds(best) * best;
    const bool as_good = cost <= before && rounds(best) < kPartsPerThread;
    if (as_good || 8 * cost < 7 * before) best = next;
  }
  return SharedOut(CeilDiv(batch, best * kernel->width), threads.likely) ? best : most;
}

// Where threads share out whole tiles, few of them are shared unevenly.
int ChainPlan::Evenly(int most, int64_t places, Threads threads) const {
  const int64_t shared_out = kPartsPerThread * threads.likely;
  const auto uneven = [&](int64_t count) {
    return threads.likely > 1 && count >= shared_out && count < 2 * shared_out;
  };
  while (most > kTableVectors && uneven(CeilDiv(places, most * kernel->width))) most /= 2;
  return most;
}

void ChainPlan::AddSteps(const Chain& chain, Threads threads) {
  by_tile = SharedOut(tiles, threads.likely);
  int64_t macs = 0;
  const auto add = [&](ChainStep::Kind kind, int64_t i, int64_t row_macs, int64_t most_parts) {
    macs += row_macs * tile_rows();
    AddStep(kind, static_cast<int>(i), row_macs * tile_rows(), threads.most, most_parts);
  };
  const auto add_transpose = [&](ChainStep::Kind kind, int64_t i, int64_t size) {
    add(kind, i, size * kPackMacs, CeilDiv(size, kPackUnit));
  };
  for (int i = 0; i < chain.inputs(); ++i) {
    const bool to_planes = i == 0 && planes;
    add_transpose(ChainStep::kPack, i,
                  to_planes ? planes->pixels.features() : chain.features(i));
  }
  for (int64_t l = 0; l < static_cast<int64_t>(chain.layers().size()); ++l) {
    const ChainLayer& layer = chain.layers()[l];
    const int slot = static_cast<int>(chain.inputs() + l);
    const bool streamed = streams && chain.streamed(slot);
    if (layer.matmul != nullptr) {
      const TileWeights& tile = Weights(*layer.matmul);
      const int64_t taken_out = streamed ? chain.features(slot) * kPackMacs : 0;
      add(ChainStep::kLayer, l, tile.cost[tile.units] + taken_out, tile.units);
    } else {
      add(ChainStep::kLayer, l, layer.in_features() * kNormMacs, vectors);
    }
    const int output = chain.OutputOf(slot);
    if (output >= 0 && !streamed)
      add_transpose(ChainStep::kUnpack, output, chain.features(slot));
  }
  if (!by_tile) return;
  items = tiles;
  const bool small = macs * tiles < kPartsPerThread * kMinMacsPerItem;
  workers = small ? 1 : std::min(threads.most, tiles);
}

ChainPlan PlanChain(const Chain& chain, int64_t batch, Form form, Threads threads,
                    const Images* images) {
  ChainPlan plan;
  plan.batch = batch;
  if (batch == 0) return plan;
  if (images != nullptr) {
    plan.planes = FindPlanes(chain, batch, *images);
    if (plan.planes) {
      plan.PlanPlanes(chain, threads);
    } else {
      plan.PlanTiles(chain, threads, false);
    }
    return plan;
  }
  const bool few = batch <= chain.max_row_batch();
  if (form == Form::kRows || (form == Form::kAuto && few)) {
    plan.PlanRows(chain, threads.most);
  } else {
    plan.PlanTiles(chain, threads, true);
  }
  return plan;
}

Range PackRange(int64_t features, int64_t part, int64_t parts) {
  const Range units = EvenRange(CeilDiv(features, kPackUnit), part, parts);
  return {units.begin * kPackUnit, std::min(units.end * kPackUnit, features)};
}

}  // namespace nfcompile
