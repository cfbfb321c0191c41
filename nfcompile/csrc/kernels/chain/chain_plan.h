// How a run of a chain is cut into items that threads can take.
#ifndef NFCOMPILE_KERNELS_CHAIN_CHAIN_PLAN_H_
#define NFCOMPILE_KERNELS_CHAIN_CHAIN_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/partition.h"
#include "base/threads.h"
#include "kernels/chain/chain.h"
#include "kernels/tile/planes.h"

namespace nfcompile {

// Over rows of x as they lie or over tiles: what is faster, or one of them for tests.
enum class Form { kAuto, kRows, kTiles };

// A layer, or the transpose of an input or of a result. Its items are [tile][part].
struct ChainStep {
  enum Kind { kPack, kLayer, kUnpack };
  Kind kind = kLayer;
  int index = 0;  // which input, layer or result
  int64_t first_item = 0;
  int64_t parts = 1;
};

// Which kernel runs follows from the shapes alone. How wide tiles are and what an item is
// follow from the number of threads, too, but no sum is cut or put in another order: results do
// not.
struct ChainPlan {
  const TileKernel* kernel = nullptr;  // null: over rows
  int vectors = 0;                     // of a tile, but for the last one
  int full_vectors = 0;  // that it would have on one thread, by which weights are chosen
  int64_t batch = 0;
  int64_t tiles = 1;
  bool by_tile = false;  // an item is a whole chain on one tile
  bool streams = false;  // whether results that can be streamed are
  std::vector<ChainStep> steps;
  int64_t items = 0;
  int64_t workers = 1;           // threads that can be of use
  size_t tile_bytes = 0;         // of the buffers of one tile
  std::optional<Planes> planes;  // of a convolution without windows

  bool narrow() const;             // whether tiles are bf16 where products read them
  int64_t tile_rows() const;       // batch rows of a tile
  Range Rows(int64_t tile) const;  // its batch rows that exist
  int Vectors(int64_t tile) const;
  const TileWeights& Weights(const MatMul& matmul) const;
  const Buffers& SlotBuffers(const Chain& chain) const;
  // Where a slot lies in the buffers of a tile that has planes.
  size_t PlaneOffset(const Chain& chain, int slot) const;

 private:
  friend ChainPlan PlanChain(const Chain& chain, int64_t batch, Form form, Threads threads,
                             const Images* images);
  void PlanRows(const Chain& chain, int64_t threads);
  // `rows`: whether results are rows, not images.
  void PlanTiles(const Chain& chain, Threads threads, bool rows);
  void PlanPlanes(const Chain& chain, Threads threads);
  int FullVectors(const Chain& chain, int64_t vector_bytes) const;
  int NarrowEnough(int most, Threads threads) const;
  int Evenly(int most, int64_t places, Threads threads) const;
  void AddSteps(const Chain& chain, Threads threads);
  void AddStep(ChainStep::Kind kind, int index, int64_t macs, int64_t threads,
               int64_t most_parts);
};

// `images`: of a convolution, or null; they are not read later.
ChainPlan PlanChain(const Chain& chain, int64_t batch, Form form, Threads threads,
                    const Images* images);

// Features of part number `part` of `parts` of a transpose.
Range PackRange(int64_t features, int64_t part, int64_t parts);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CHAIN_CHAIN_PLAN_H_
