// One sparse product with packed weights, whatever its encoding:
//
//   y[m, o] = epilogue(sum_i W[o, i] x[m, i])
//
// in two forms: over the rows of x as they lie, for small batches, and over feature-major tiles
// (tile/tile.h), for larger ones and between the layers of a chain. Making one validates and
// packs (it may throw and allocate); a run does neither, and any number of threads may share
// one.
//
// An input that is NaN or infinite reaches only the outputs whose row of W stores an entry for
// it: no kernel multiplies padding with a real input.
#ifndef NFCOMPILE_KERNELS_MATMUL_H_
#define NFCOMPILE_KERNELS_MATMUL_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "base/partition.h"
#include "kernels/epilogue.h"
#include "kernels/tile/tile.h"
#include "kernels/tile/window.h"

namespace nfcompile {

// The run-time operands, row-major and of any alignment: x [batch, in], y [batch, out].
struct Operands {
  const float* x = nullptr;
  float* y = nullptr;
  int64_t batch = 0;
  Epilogue epilogue;
};

// The form over rows as they lie.
class RowMatMul {
 public:
  virtual ~RowMatMul() = default;
  RowMatMul() = default;
  RowMatMul(const RowMatMul&) = delete;
  RowMatMul& operator=(const RowMatMul&) = delete;

  // What the kernel has chosen to do, for people: "bsr_f32_avx2, blocks of 16 x 16".
  virtual const char* description() const = 0;

  // The largest batch for which this form is the faster one: alone, where tiles would have to
  // be made and taken apart for this product only, or within a chain.
  virtual int64_t max_batch(bool alone) const = 0;

  // Output rows come in this many units that can be cut apart.
  virtual int64_t units() const = 0;

  // Multiply-adds for one row of x.
  virtual int64_t macs() const = 0;

  // Floats of workspace, 64-byte aligned, that a run needs.
  virtual size_t WorkspaceFloats() const { return 0; }

  // Part number `part` of `parts` of about the same work, for all rows of x.
  virtual void Run(const Operands& operands, int64_t part, int64_t parts,
                   float* workspace) const = 0;
};

// Up to here scalar code does not copy rows into tiles.
constexpr int64_t kScalarMaxBatch = 7;
// For any batch.
constexpr int64_t kAnyBatch = std::numeric_limits<int64_t>::max();

struct MatMul {
  int64_t in_features = 0;
  int64_t out_features = 0;
  std::unique_ptr<RowMatMul> rows;
  TileWeights tile;
  TileWeights code;    // where tiles of `code_vectors` are planned; empty, or generated
  TileWeights planes;  // for tiles of pixels; empty, or generated for convolutions by `window`
  Window window;
  int code_vectors = 1;
  const TileKernel* tile_kernel = nullptr;
  const TileKernel* half_kernel = nullptr;  // for batches that fill half a vector; may be null

  // What this kernel, one of the two, runs where tiles of this many vectors are planned.
  const TileWeights& TileFor(const TileKernel& kernel, int vectors) const {
    const bool runs = code.generated != nullptr && kernel.run_generated != nullptr;
    return runs && vectors >= code_vectors ? code : tile;
  }
};

// All forms of one weight.
MatMul MakeMatMul(std::unique_ptr<RowMatMul> rows, TileWeights tile, Isa isa);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_MATMUL_H_
