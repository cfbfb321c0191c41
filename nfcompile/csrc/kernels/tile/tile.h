// Products over feature-major tiles: the form of every encoding for batches.
//
//   yt[o, t] = epilogue(sum over k < count of values[k, r] xt[columns[k], t])     o = row[r]
//
// A tile holds the same `vectors * width` batch rows t for all features. The lanes of a vector
// are neighbouring batch rows, so that it makes no difference where a column lies: permutations
// and strides cost nothing, and layers that follow each other need no transposes between them.
// Output rows that read the same columns form a group of up to eight: each vector of x is then
// loaded once for all of them. Where no rows do, each row's entries follow each other
// (tile_rows.h), or code is generated for them (generated_rows.h).
#ifndef NFCOMPILE_KERNELS_TILE_TILE_H_
#define NFCOMPILE_KERNELS_TILE_TILE_H_

#include <cstdint>
#include <memory>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "base/partition.h"
#include "kernels/amx/amx_blocks.h"
#include "kernels/epilogue.h"
#include "kernels/generated/generated_rows.h"
#include "kernels/norm/norm.h"
#include "kernels/precision.h"
#include "kernels/tile/images.h"
#include "kernels/tile/tile_rows.h"
#include "kernels/weight_array.h"

namespace nfcompile {

constexpr int kMaxGroupRows = 8;
constexpr int kMaxTileVectors = 16;   // of a tile; of bf16 it has 1, 2 or 4
constexpr int kTableVectors = 4;      // the most that suit kernels without generated code
constexpr int kMaxPlaneVectors = 67;  // of what such a tile reads of a plane (planes.h)
// Rows of memory behind those of a tile's features: zeros, then room for whole vectors.
constexpr int64_t kTileSlack = 16;
constexpr size_t kLineBytes = 64;  // of a cache

// Output rows that read the same columns.
struct TileGroup {
  int64_t value = 0;   // where its entries begin in values
  int64_t column = 0;  // where they begin in columns; groups may share them
  int32_t count = 0;   // columns
  int32_t rows = 0;    // 1, 2, 4 or 8
  int32_t row[kMaxGroupRows] = {};
};

// fp32: values [k][r]. bf16: columns come in pairs, values [k / 2][r][2]; an odd count is
// filled up with a zero that reads feature `in_features`, a row of zeros behind the tile.
// Units are runs of groups that can be cut apart: unit u has the groups first_group[u] and on.
struct TileWeights {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t units = 0;
  int64_t unit_rows = 0;  // outputs of a unit, where they are neighbours; else 0
  // Whether the order of a sum does not depend on how many vectors a tile has.
  bool same_sums = false;
  AlignedArray<int64_t> cost;         // [units + 1] prefix sums, about one a multiply-add
  AlignedArray<int64_t> first_group;  // [units + 1]
  AlignedArray<TileGroup> groups;
  WeightArray values;
  AlignedArray<int32_t> columns;
  // In place of groups, values and columns: unstructured rows.
  std::shared_ptr<const TileRows> rows;
  // Or their code: its blocks are the units.
  std::shared_ptr<const GeneratedRows> generated;
  // Or these, each a unit.
  std::shared_ptr<const AmxBlocks> blocks;

  // Of values and columns in memory; not of code.
  int64_t bytes() const;
};

// Where the elements of a tile lie: vector v of feature f begins at f * row + v * vector.
struct TileShape {
  int vectors = 0;
  int64_t row = 0;
  int64_t vector = 0;
};

// Tiles are float, or bits of bf16 where the precision is; y and residual may be float all the
// same.
struct TileOperands {
  const void* x = nullptr;  // a whole tile
  void* y = nullptr;
  const void* residual = nullptr;  // or null
  TileShape x_shape;
  TileShape y_shape;
  TileShape residual_shape;
  Epilogue epilogue;  // its residual is not read
  bool y_is_float = true;
  bool residual_is_float = true;
  const int64_t* taps = nullptr;  // of planes: bytes from a place to what each tap reads
};

// A norm of tiles that are of the precision or float.
struct TileNorm {
  NormView norm;
  const void* x = nullptr;
  void* y = nullptr;
  TileShape x_shape;
  TileShape y_shape;
  bool x_is_float = true;
  bool y_is_float = true;
};

// One entry of the table.
struct TileKernel {
  const char* name;
  Isa isa;
  Precision precision;
  int width;          // batch rows in a vector
  int group_vectors;  // the most of a tile whose weights are all groups
  // Computes the groups `groups`; returns whether any output is not zero.
  bool (*run)(const TileWeights& weights, const TileOperands& operands, Range groups);
  // The same for units of unstructured rows; null where there is no such kernel.
  bool (*run_rows)(const TileWeights& weights, const TileOperands& operands, Range units);
  // And for blocks of generated rows; null where there is no such code.
  bool (*run_generated)(const TileWeights& weights, const TileOperands& operands, Range blocks);
  // Transposes features of row-major x [batch <= tile, stride] into a tile, whose other batch
  // rows become zero; returns whether any is not zero. `features` begins at a multiple of 64.
  bool (*pack)(const float* x, int64_t stride, int64_t batch, Range features,
               const TileShape& shape, void* tile);
  bool (*pack_float)(const float* x, int64_t stride, int64_t batch, Range features,
                     const TileShape& shape, void* tile);
  // The reverse.
  void (*unpack)(const void* tile, const TileShape& shape, int64_t batch, Range features,
                 float* y, int64_t stride);
  void (*unpack_float)(const void* tile, const TileShape& shape, int64_t batch, Range features,
                       float* y, int64_t stride);
  // As pack, for the batch rows `places` of all images.
  bool (*gather)(const float* x, const Images& images, Range places, Range features,
                 const TileShape& shape, void* tile);
  bool (*gather_float)(const float* x, const Images& images, Range places, Range features,
                       const TileShape& shape, void* tile);
  // Normalizes the vectors `vectors` of a tile.
  void (*normalize)(const TileNorm& operands, Range vectors);
  // As unpack_float, to images y [n, channels, places], whose places are counted as those of
  // `images`, windows of one pixel.
  void (*scatter)(const float* tile, const TileShape& shape, const Images& images, Range places,
                  Range features, float* y);

  // Of tiles of `features`. Where a vector is a line of a cache, vector by vector, so that what
  // a panel of columns reads is contiguous, and one row more, so that vectors do not compete
  // for the same sets of a cache. Shorter ones, and those of bf16, feature by feature, so that
  // two of a feature share a line, or come by one load.
  TileShape Shape(int vectors, int64_t features) const {
    const bool lines = precision == Precision::kFloat32 && width * sizeof(float) >= kLineBytes;
    return lines ? VectorByVector(vectors, features)
                 : TileShape{vectors, int64_t{vectors} * width, width};
  }

  // As images that lie as tiles do, see Images, whatever the width.
  TileShape VectorByVector(int vectors, int64_t features) const {
    return {vectors, width, (features + 1) * width};
  }
};

// Computes the units `units`; returns whether any output is not zero.
bool RunUnits(const TileKernel& kernel, const TileWeights& weights,
              const TileOperands& operands, Range units);

// How many rows the groups for `isa` have at most: as many as suit its registers.
int GroupRows(Isa isa);

// The kernel for `isa`.
const TileKernel* FindTileKernel(Precision precision, Isa isa);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_H_
