#include "kernels/amx/amx_blocks.h"

#include <algorithm>
#include <map>

#include "kernels/precision.h"
#include "kernels/tile/tile.h"

namespace nfcompile {
namespace {

// Of what the registers multiply and of what is put in order, how much may be padding.
constexpr double kMostPadding = 1.25;

// The groups `groups` read the same columns.
struct Run {
  Range groups;
  int64_t rows = 0;
};

using Columns = std::vector<int32_t>;

class AmxPacker {
 public:
  AmxPacker(const std::vector<TileGroup>& groups, const Columns& columns,
            const std::vector<float>& values, int64_t in_features)
      : groups_(groups), columns_(columns), values_(values), in_features_(in_features) {
    for (int64_t g = 0; g < static_cast<int64_t>(groups.size()); ++g) {
      const bool goes_on = !runs_.empty() &&
                           SameColumns(groups[runs_.back().groups.begin], groups[g]) &&
                           runs_.back().rows + groups[g].rows <= kAmxGroupTiles * kAmxRows;
      if (!goes_on) runs_.push_back({{g, g}, 0});
      runs_.back().groups.end = g + 1;
      runs_.back().rows += groups[g].rows;
    }
  }

  // Whether chunks of `width` columns suit the weight; finds them.
  bool Fits(int width) {
    width_ = width;
    index_.clear();
    int64_t multiplied = 0;
    for (const Run& run : runs_) {
      multiplied += CeilDiv(run.rows, kAmxRows) * kAmxRows * CeilDiv(Count(run), width) * width;
    }
    const auto stored = static_cast<double>(values_.size());
    if (stored == 0 || static_cast<double>(multiplied) > kMostPadding * stored) return false;
    for (const Run& run : runs_) {
      for (int64_t c = 0; c < CeilDiv(Count(run), width); ++c) index_[Chunk(run, c)] = 0;
    }
    int32_t next = 0;
    for (auto& [chunk, index] : index_) index = next++;
    const auto ordered = static_cast<double>(index_.size()) * width;
    return ordered <= kMostPadding * static_cast<double>(in_features_);
  }

  // With the chunks that fit.
  std::shared_ptr<const AmxBlocks> Pack(decltype(AmxBlocks::run) run) const {
    auto blocks = std::make_shared<AmxBlocks>();
    blocks->run = run;
    blocks->columns = width_;
    blocks->sources = AlignedArray<int32_t>(index_.size() * width_);
    for (const auto& [chunk, index] : index_) {
      std::copy(chunk.begin(), chunk.end(), blocks->sources.data() + int64_t{index} * width_);
    }
    int64_t chunks = 0;
    int64_t size = 0;
    std::vector<AmxGroup> groups;
    for (const Run& run : runs_) {
      AmxGroup group;
      group.value = size;
      group.chunk = chunks;
      group.chunks = static_cast<int32_t>(CeilDiv(Count(run), width_));
      group.tiles = static_cast<int32_t>(CeilDiv(run.rows, kAmxRows));
      chunks += group.chunks;
      size += int64_t{group.chunks} * group.tiles * kAmxRows * width_;
      groups.push_back(group);
    }
    blocks->chunks = AlignedArray<int32_t>(chunks);
    blocks->values = AlignedArray<uint16_t>(size);
    std::fill_n(blocks->values.data(), size, uint16_t{0});
    blocks->groups = AlignedArray<AmxGroup>(groups.size());
    for (size_t i = 0; i < groups.size(); ++i) {
      Fill(runs_[i], groups[i], *blocks);
      blocks->groups[i] = groups[i];
    }
    return blocks;
  }

 private:
  bool SameColumns(const TileGroup& a, const TileGroup& b) const {
    const auto first = columns_.begin() + a.column;
    return a.count == b.count &&
           std::equal(first, first + a.count, columns_.begin() + b.column);
  }

  int64_t Count(const Run& run) const { return groups_[run.groups.begin].count; }

  // Chunk number c of a run, filled up with the feature behind the last, which is zero.
  Columns Chunk(const Run& run, int64_t c) const {
    Columns chunk(width_, static_cast<int32_t>(in_features_));
    const auto first = columns_.begin() + groups_[run.groups.begin].column + c * width_;
    std::copy_n(first, std::min<int64_t>(Count(run) - c * width_, width_), chunk.begin());
    return chunk;
  }

  void Fill(const Run& run, AmxGroup& group, AmxBlocks& blocks) const {
    std::fill(std::begin(group.row), std::end(group.row), -1);
    for (int64_t c = 0; c < group.chunks; ++c) {
      const int64_t index = index_.at(Chunk(run, c));
      blocks.chunks[group.chunk + c] = static_cast<int32_t>(index);
      group.reads.begin = c == 0 ? index : std::min(group.reads.begin, index);
      group.reads.end = std::max(group.reads.end, index + 1);
    }
    int64_t row = 0;
    for (int64_t g = run.groups.begin; g < run.groups.end; ++g) {
      const TileGroup& from = groups_[g];
      for (int32_t r = 0; r < from.rows; ++r, ++row) {
        group.row[row] = from.row[r];
        for (int64_t k = 0; k < from.count; ++k) {
          const int64_t tile = k / width_ * group.tiles + row / kAmxRows;
          const int64_t at = (tile * kAmxRows + row % kAmxRows) * width_ + k % width_;
          blocks.values[group.value + at] = ToBfloat16(values_[from.value + k * from.rows + r]);
        }
      }
    }
  }

  const std::vector<TileGroup>& groups_;
  const Columns& columns_;
  const std::vector<float>& values_;
  const int64_t in_features_;
  int width_ = 0;
  std::vector<Run> runs_;
  std::map<Columns, int32_t> index_;  // of the chunks, in the order of their columns
};

}  // namespace

Range AmxBlocks::Reads(Range of) const {
  Range reads;
  for (int64_t g = of.begin; g < of.end; ++g) {
    const Range own = groups[g].reads;
    if (own.size() == 0) continue;
    const bool first = reads.size() == 0;
    reads.begin = first ? own.begin : std::min(reads.begin, own.begin);
    reads.end = first ? own.end : std::max(reads.end, own.end);
  }
  return reads;
}

std::shared_ptr<const AmxBlocks> AmxBlocks::Make(const std::vector<TileGroup>& groups,
                                                 const std::vector<int32_t>& columns,
                                                 const std::vector<float>& values,
                                                 int64_t in_features, Isa isa) {
#if defined(__x86_64__)
  if (isa != Isa::kAmxBf16 && isa != Isa::kAmxEmulated) return nullptr;
  const auto run = isa == Isa::kAmxBf16 ? RunAmxBf16 : RunAmxEmulated;
  AmxPacker packer(groups, columns, values, in_features);
  // 32 columns take the registers as long as 16 do.
  for (const int width : {32, 16}) {
    if (packer.Fits(width)) return packer.Pack(run);
  }
#endif
  return nullptr;
}

}  // namespace nfcompile
