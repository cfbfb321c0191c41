// Blocks of a bf16 weight as the tile registers of AMX take them.
//
// Output rows that read the same columns, at least about 16 of them, are multiplied 16 by 16:
//
//   sums[r, t] += sum over k < 16 or 32 of w[r, k] x[k, t]     r < 16, t < 16 batch rows
//
// by one instruction, which reads x in pairs of columns, x[2k, t] and x[2k + 1, t] side by
// side. They are put so once for all rows of a run, a chunk of columns at a time; what the
// chunks are follows from the weight alone. A weight whose rows share too few columns has no
// such form.
#ifndef NFCOMPILE_KERNELS_AMX_AMX_BLOCKS_H_
#define NFCOMPILE_KERNELS_AMX_AMX_BLOCKS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "base/partition.h"

namespace nfcompile {

struct TileGroup;
struct TileOperands;

constexpr int kAmxRows = 16;  // of a tile register; and lanes of a sum
constexpr int kAmxGroupTiles = 2;

// Up to 32 output rows that read the same chunks: a unit of work.
struct AmxGroup {
  int64_t value = 0;  // where its entries begin in values: [chunk][tile][16][columns]
  int64_t chunk = 0;  // where its chunks begin in chunks
  int32_t chunks = 0;
  int32_t tiles = 0;  // of 16 rows
  Range reads;        // of all chunks, those between its first and its last
  int32_t row[kAmxGroupTiles * kAmxRows] = {};  // -1: padding
};

struct AmxBlocks {
  // Computes the groups `groups`; returns whether any output is not zero.
  bool (*run)(const AmxBlocks& blocks, const TileOperands& operands, Range groups) = nullptr;
  int columns = 0;                // of a chunk: 16 or 32
  AlignedArray<int32_t> sources;  // [chunk, columns]: features, in_features where padding
  AlignedArray<int32_t> chunks;   // those of each group
  AlignedArray<AmxGroup> groups;
  AlignedArray<uint16_t> values;

  // The chunks that groups read, and those between them.
  Range Reads(Range of) const;

  // Groups with columns[group.column ..] and values[group.value ..] as [k][r]. Null where `isa`
  // has no such registers, where they would be filled too badly, or where too much of x had to
  // be put in order.
  static std::shared_ptr<const AmxBlocks> Make(const std::vector<TileGroup>& groups,
                                               const std::vector<int32_t>& columns,
                                               const std::vector<float>& values,
                                               int64_t in_features, Isa isa);
};

// `run` of either kind.
bool RunAmxBf16(const AmxBlocks& blocks, const TileOperands& operands, Range groups);
bool RunAmxEmulated(const AmxBlocks& blocks, const TileOperands& operands, Range groups);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_AMX_AMX_BLOCKS_H_
