// Packs row groups for tiles, and finds the kernel that runs them.
#include "kernels/tile/tile_pack.h"

#include <algorithm>
#include <tuple>
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
// Groups of a unit: few, so that many threads can share; but within a panel only the groups of
// a unit are sorted, and few of them are worth little.
constexpr int64_t kUnitGroups = 16;
constexpr int64_t kPanelUnitGroups = 64;

// Groups of one size and length follow each other, so that the processor foresees where each
// loop ends.
void SortGroups(std::vector<TileGroup>::iterator begin, std::vector<TileGroup>::iterator end) {
  std::stable_sort(begin, end, [](const TileGroup& a, const TileGroup& b) {
    return std::tie(b.rows, a.count) < std::tie(a.rows, b.count);
  });
}

// The entries of one group whose columns lie in one panel, in the order of the group.
struct Entries {
  std::vector<int32_t> columns;
  std::vector<float> values;  // [k][r]
};

Entries EntriesOf(const TileGroup& group, const std::vector<int32_t>& columns,
                  const std::vector<float>& values, Range panel) {
  Entries entries;
  for (int64_t k = 0; k < group.count; ++k) {
    const int32_t column = columns[group.column + k];
    if (column < panel.begin || column >= panel.end) continue;
    entries.columns.push_back(column);
    const float* from = values.data() + group.value + k * group.rows;
    entries.values.insert(entries.values.end(), from, from + group.rows);
  }
  return entries;
}

}  // namespace

TileWeights TilePacker::Pack(Precision precision, int64_t panel_columns) {
  if (precision == Precision::kBfloat16 && panel_columns == 0) {
    auto blocks = AmxBlocks::Make(groups_, columns_, values_, in_features_, isa_);
    if (blocks != nullptr) return PackBlocks(std::move(blocks));
  }
  const int64_t width = panel_columns > 0 ? panel_columns : std::max<int64_t>(in_features_, 1);
  const bool pairs = precision == Precision::kBfloat16;
  const auto count = static_cast<int64_t>(groups_.size());
  TileWeights packed;
  packed.in_features = in_features_;
  packed.out_features = out_features_;
  packed.panels = std::max<int64_t>(CeilDiv(in_features_, width), 1);
  // Kernels cut the sums of smaller groups, the more the fewer vectors there are.
  packed.same_sums = std::all_of(groups_.begin(), groups_.end(), [&](const TileGroup& group) {
    return group.rows == group_rows_;
  });
  const int64_t unit = packed.panels == 1 ? kUnitGroups : kPanelUnitGroups;
  packed.units = CeilDiv(count, unit);
  if (packed.panels == 1) SortGroups(groups_.begin(), groups_.end());
  packed.cost = AlignedArray<int64_t>(packed.units + 1);
  packed.cost[0] = 0;
  for (int64_t u = 0; u < packed.units; ++u) {
    packed.cost[u + 1] = packed.cost[u];
    for (int64_t g = u * unit; g < std::min((u + 1) * unit, count); ++g) {
      packed.cost[u + 1] += int64_t{groups_[g].count} * groups_[g].rows + kGroupCost;
    }
  }
  packed.first_group = AlignedArray<int64_t>(packed.panels * packed.units + 1);
  packed.groups = AlignedArray<TileGroup>(packed.panels * count);
  // Every group of every panel may be filled up by one column.
  const auto filled =
      static_cast<int64_t>(columns_.size()) + (pairs ? packed.panels * count : 0);
  packed.columns = AlignedArray<int32_t>(filled);
  const auto padding = pairs ? packed.panels * count * kMaxGroupRows : 0;
  const auto values = static_cast<int64_t>(values_.size()) + padding;
  packed.values = WeightArray(values, precision);
  Cursor at;
  for (int64_t p = 0; p < packed.panels; ++p) {
    const Range panel{p * width, std::min((p + 1) * width, in_features_)};
    for (int64_t u = 0; u < packed.units; ++u) {
      packed.first_group[p * packed.units + u] = at.group;
      PackUnit({u * unit, std::min((u + 1) * unit, count)}, panel, packed, at);
    }
  }
  packed.first_group[packed.panels * packed.units] = at.group;
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

void TilePacker::PackUnit(Range groups, Range panel, TileWeights& packed, Cursor& at) const {
  const int64_t step = packed.values.precision() == Precision::kBfloat16 ? 2 : 1;
  std::vector<Entries> entries;
  std::vector<TileGroup> heads;
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    entries.push_back(EntriesOf(groups_[g], columns_, values_, panel));
    TileGroup head = groups_[g];
    head.count = static_cast<int32_t>(entries.back().columns.size());
    head.column = static_cast<int64_t>(entries.size()) - 1;  // for now, its entries
    heads.push_back(head);
  }
  SortGroups(heads.begin(), heads.end());
  for (TileGroup head : heads) {
    const Entries& from = entries[head.column];
    const int64_t stored = head.count;
    head.column = at.column;
    head.value = at.value;
    head.count = static_cast<int32_t>(CeilDiv(stored, step) * step);
    for (int64_t k = 0; k < head.count; ++k) {
      packed.columns[at.column + k] =
          k < stored ? from.columns[k] : static_cast<int32_t>(in_features_);
      for (int64_t r = 0; r < head.rows; ++r) {
        const float value = k < stored ? from.values[k * head.rows + r] : 0.0f;
        packed.values.Set(at.value + (k / step * head.rows + r) * step + k % step, value);
      }
    }
    at.column += head.count;
    at.value += int64_t{head.count} * head.rows;
    packed.groups[at.group++] = head;
  }
}

bool RunUnits(const TileKernel& kernel, const TileWeights& weights, TileOperands operands,
              Range units) {
  if (weights.generated != nullptr) return kernel.run_generated(weights, operands, units);
  if (weights.blocks != nullptr) return weights.blocks->run(*weights.blocks, operands, units);
  bool any = false;
  for (int64_t panel = 0; panel < weights.panels; ++panel) {
    const int64_t* first = weights.first_group.data() + panel * weights.units;
    operands.adds_to_y = panel > 0;
    operands.finishes = panel + 1 == weights.panels;
    any = kernel.run(weights, operands, {first[units.begin], first[units.end]});
  }
  return any;
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
