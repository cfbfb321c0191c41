// Products over feature-major tiles: the form of every encoding for batches.
//
//   yt[o, t] = epilogue(sum over k < count of values[k, r] xt[columns[k], t])     o = row[r]
//
// A tile holds the same `vectors * width` batch rows t for all features, feature by feature.
// The lanes of a vector are neighbouring batch rows, so that it makes no difference where a
// column lies: permutations and strides cost nothing, and layers that follow each other need no
// transposes between them. Output rows that read the same columns form a group of up to eight:
// each vector of x is then loaded once for all of them.
#ifndef NFCOMPILE_KERNELS_TILE_TILE_H_
#define NFCOMPILE_KERNELS_TILE_TILE_H_

#include <cstdint>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "base/partition.h"
#include "kernels/epilogue.h"
#include "kernels/precision.h"
#include "kernels/tile/images.h"
#include "kernels/weight_array.h"

namespace nfcompile {

constexpr int kMaxGroupRows = 8;
constexpr int kMaxTileVectors = 4;  // a tile has 1, 2 or 4
// Rows of memory behind those of a tile's features: zeros, then room for whole vectors.
constexpr int64_t kTileSlack = 16;

// Output rows that read the same columns.
struct TileGroup {
  int64_t value = 0;   // where its entries begin in values
  int64_t column = 0;  // where they begin in columns
  int32_t count = 0;   // columns
  int32_t rows = 0;    // 1, 2, 4 or 8
  int32_t row[kMaxGroupRows] = {};
};

// fp32: values [k][r]. bf16: columns come in pairs, values [k / 2][r][2]; an odd count is
// filled up with a zero that reads feature `in_features`, a row of zeros behind the tile.
//
// The columns may be cut into panels, so that what a pass reads of x stays in the cache; sums
// then wait in y from panel to panel. Units are runs of groups that can be cut apart, the same
// output rows in every panel: unit u of panel p has the groups first_group[p * units + u] and
// on.
struct TileWeights {
  int64_t in_features = 0;
  int64_t out_features = 0;
  int64_t panels = 1;
  int64_t units = 0;
  AlignedArray<int64_t> cost;         // [units + 1] prefix sums, about one a multiply-add
  AlignedArray<int64_t> first_group;  // [panels * units + 1]
  AlignedArray<TileGroup> groups;
  WeightArray values;
  AlignedArray<int32_t> columns;
};

// Tiles are float, or bits of bf16 where the precision is; y may be float all the same.
struct TileOperands {
  const void* x = nullptr;         // [in_features + kTileSlack, t]
  void* y = nullptr;               // [out_features + kTileSlack, t]
  const void* residual = nullptr;  // [out_features, t], or null
  Epilogue epilogue;               // its residual is not read
  int64_t y_stride = 0;            // elements from one row of y to the next
  int64_t residual_stride = 0;
  int vectors = 0;  // of a tile: 1, 2 or 4
  bool y_is_float = true;
  bool adds_to_y = false;  // whether y holds sums of other panels: float, as they are
  bool finishes = true;    // whether these are the last summands
};

// One entry of the table.
struct TileKernel {
  const char* name;
  Isa isa;
  Precision precision;
  int width;  // batch rows in a vector
  // Computes the groups `groups`; returns whether any output is not zero.
  bool (*run)(const TileWeights& weights, const TileOperands& operands, Range groups);
  // Transposes features of row-major x [batch <= tile, stride] into a tile, whose other batch
  // rows become zero; returns whether any is not zero. `features` begins at a multiple of 64.
  bool (*pack)(const float* x, int64_t stride, int64_t batch, Range features, int vectors,
               void* tile);
  // The reverse, from a tile of float.
  void (*unpack)(const float* tile, int64_t batch, Range features, int vectors, float* y,
                 int64_t stride);
  // As pack, for the batch rows `places` of all images.
  bool (*gather)(const float* x, const Images& images, Range places, Range features,
                 int vectors, void* tile);
  // As unpack, to images y [n, channels, image_places].
  void (*scatter)(const float* tile, int64_t channels, int64_t image_places, Range places,
                  Range features, int vectors, float* y);
};

// How many rows the groups for `isa` have at most: as many as suit its registers.
int GroupRows(Isa isa);

// The kernel for `isa`.
const TileKernel* FindTileKernel(Precision precision, Isa isa);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_TILE_H_
