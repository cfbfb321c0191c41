// Packs row groups for tiles, and finds the kernel that runs them.
#include "kernels/tile/tile_pack.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/partition.h"
#include "kernels/tile/tile_kernels.h"

namespace nfcompile {
namespace {

// What a group costs besides its entries: the loop's start, the epilogue and the stores.
constexpr int64_t kGroupCost = 8;
// Multiply-adds in the registers of AMX that take as long as one in others: an assumption, 16
// at the peaks of both.
constexpr int64_t kAmxSpeed = 8;
// Groups of a unit: few, so that many threads can share.
constexpr int64_t kUnitGroups = 16;

}  // namespace

// Groups of one size and length follow each other, so that the processor foresees where each
// loop ends.
void TilePacker::SortGroups() {
  std::stable_sort(groups_.begin(), groups_.end(), [](const TileGroup& a, const TileGroup& b) {
    return std::tie(b.rows, a.count) < std::tie(a.rows, b.count);
  });
}

TileWeights TilePacker::Pack(Precision precision) {
  if (precision == Precision::kBfloat16) {
    auto blocks = AmxBlocks::Make(groups_, columns_, values_, in_features_, isa_);
    if (blocks != nullptr) return PackBlocks(std::move(blocks));
  }
  const auto count = static_cast<int64_t>(groups_.size());
  TileWeights packed;
  packed.in_features = in_features_;
  packed.out_features = out_features_;
  // Kernels cut the sums of smaller groups, the more the fewer vectors there are.
  packed.same_sums = std::all_of(groups_.begin(), groups_.end(), [&](const TileGroup& group) {
    return group.rows == group_rows_;
  });
  packed.units = CeilDiv(count, kUnitGroups);
  SortGroups();
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  packed.first_group = AlignedArray<int64_t>(packed.units + 1);
  packed.cost[0] = 0;
  packed.first_group[0] = 0;
  for (int64_t u = 0; u < packed.units; ++u) {
    packed.cost[u + 1] = packed.cost[u];
    packed.first_group[u + 1] = std::min((u + 1) * kUnitGroups, count);
    for (int64_t g = packed.first_group[u]; g < packed.first_group[u + 1]; ++g) {
      packed.cost[u + 1] += int64_t{groups_[g].count} * groups_[g].rows + kGroupCost;
    }
  }
  PackGroups(precision, packed);
  return packed;
}

TileWeights TilePacker::PackBlocks(std::shared_ptr<const AmxBlocks> blocks) const {
  TileWeights packed;
  packed.in_features = in_features_;
  packed.out_features = out_features_;
  packed.same_sums = true;
  packed.values = WeightArray(0, Precision::kBfloat16);
  packed.units = static_cast<int64_t>(blocks->groups.size());
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  packed.cost[0] = 0;
  for (int64_t u = 0; u < packed.units; ++u) {
    const AmxGroup& group = blocks->groups[u];
    const int64_t area = int64_t{group.tiles} * kAmxRows * group.chunks * blocks->columns;
    packed.cost[u + 1] = packed.cost[u] + area / kAmxSpeed + kGroupCost;
  }
  packed.blocks = std::move(blocks);
  return packed;
}

void TilePacker::PackGroups(Precision precision, TileWeights& packed) const {
  const bool pairs = precision == Precision::kBfloat16;
  const int64_t step = pairs ? 2 : 1;
  const size_t count = groups_.size();
  // Every group may be filled up by one column.
  packed.columns = AlignedArray<int32_t>(columns_.size() + (pairs ? count : 0));
  packed.values = WeightArray(values_.size() + (pairs ? count * kMaxGroupRows : 0), precision);
  packed.groups = AlignedArray<TileGroup>(count);
  std::unordered_map<int64_t, int64_t> places;  // of columns
  int64_t column = 0;
  int64_t value = 0;
  for (size_t g = 0; g < count; ++g) {
    const TileGroup& from = groups_[g];
    TileGroup& group = packed.groups[g];
    group = from;
    group.value = value;
    group.count = static_cast<int32_t>(CeilDiv(from.count, step) * step);
    // Groups that read the same columns share them.
    bool writes = false;
    group.column = column;
    if (from.count > 0) {  // an empty group begins where the next one does
      const auto [place, is_new] = places.try_emplace(from.column, column);
      group.column = place->second;
      writes = is_new;
    }
    for (int64_t k = 0; k < group.count; ++k) {
      const bool stored = k < from.count;
      if (writes) {
        packed.columns[column + k] =
            stored ? columns_[from.column + k] : static_cast<int32_t>(in_features_);
      }
      for (int64_t r = 0; r < group.rows; ++r) {
        packed.values.Set(value + (k / step * group.rows + r) * step + k % step,
                          stored ? values_[from.value + k * group.rows + r] : 0.0f);
      }
    }
    if (writes) column += group.count;
    value += int64_t{group.count} * group.rows;
  }
}

int64_t TileWeights::bytes() const {
  const int64_t value = values.precision() == Precision::kBfloat16 ? 2 : sizeof(float);
  if (rows) return static_cast<int64_t>(rows->columns.size()) * (value + sizeof(PanelColumn));
  if (blocks) return static_cast<int64_t>(blocks->values.size()) * value;
  return static_cast<int64_t>(values.size()) * value +
         static_cast<int64_t>(columns.size() * sizeof(int32_t));
}

bool RunUnits(const TileKernel& kernel, const TileWeights& weights,
              const TileOperands& operands, Range units) {
  if (weights.generated != nullptr) return kernel.run_generated(weights, operands, units);
  if (weights.rows != nullptr) return kernel.run_rows(weights, operands, units);
  if (weights.blocks != nullptr) return weights.blocks->run(*weights.blocks, operands, units);
  const int64_t* first = weights.first_group.data();
  return kernel.run(weights, operands, {first[units.begin], first[units.end]});
}

int GroupRows(Isa isa) {
  isa = Fp32Isa(isa);
  const bool wide = isa == Isa::kAvx512 || isa == Isa::kAvx512Emulated;
  return wide ? kMaxGroupRows : kMaxGroupRows / 2;
}

const TileKernel* FindTileKernel(Precision precision, Isa isa) {
  isa = precision == Precision::kFloat32 ? Fp32Isa(isa) : VectorIsa(isa);
  for (const TileKernel* kernel : kTileKernels) {
    if (kernel->precision == precision && kernel->isa == isa) return kernel;
  }
  return nullptr;
}

}  // namespace nfcompile
