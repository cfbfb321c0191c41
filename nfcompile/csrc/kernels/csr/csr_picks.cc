// Packs CSR weights into steps, and runs them.
#include "kernels/csr/csr_picks.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/csr/csr_kernel.h"

namespace nfcompile {
namespace {

class PickPacker {
 public:
  PickPacker(const CsrView& view, const CsrPickKernel& kernel, int64_t columns)
      : view_(view),
        entries_(kernel.entries),
        most_stored_(kernel.most_stored),
        columns_(columns) {}

  // Lays the steps out; false where there would be too many.
  bool Plan(CsrPicks* packed) {
    const int64_t out = view_.out_features();
    // A step more, lest a few entries be refused for the lanes of their one step.
    const int64_t most = most_stored_ * view_.nnz + kPickLanes * entries_;
    SortEntries();
    packed->chunk.push_back(0);
    for (int64_t begin = 0; begin < out; begin += kCsrChunk) {
      const std::vector<int32_t> rows = ChunkByLength(view_, begin);
      for (size_t i = 0; i < rows.size(); i += kPickLanes) {
        const size_t lanes = std::min<size_t>(kPickLanes, rows.size() - i);
        packed->slices.push_back(PlanSlice(rows.data() + i, static_cast<int32_t>(lanes)));
        if (static_cast<int64_t>(taken_.size()) > most) return false;
      }
      packed->chunk.push_back(static_cast<int64_t>(packed->slices.size()));
    }
    return true;
  }

  void Fill(Precision precision, CsrPicks* packed) const {
    packed->window = AlignedArray<int32_t>(windows_.size());
    std::copy(windows_.begin(), windows_.end(), packed->window.data());
    packed->place = AlignedArray<uint8_t>(taken_.size());
    packed->values = WeightArray(taken_.size(), precision);
    const size_t step = kPickLanes * entries_;
    for (size_t i = 0; i < taken_.size(); ++i) {
      const int32_t entry = taken_[i];
      const bool idle = entry < 0;
      packed->place[i] =
          idle ? kIdle : static_cast<uint8_t>(Column(entry) - windows_[i / step]);
      packed->values.Set(i, idle ? 0.0f : view_.values[order_[entry]]);
    }
  }

 private:
  static constexpr int32_t kNone = -1;

  int64_t Column(int64_t entry) const { return view_.indices[order_[entry]]; }

  // Each row's by column.
  void SortEntries() {
    order_.resize(view_.nnz);
    std::iota(order_.begin(), order_.end(), 0);
    const auto before = [&](int32_t a, int32_t b) {
      return view_.indices[a] < view_.indices[b];
    };
    for (int64_t o = 0; o < view_.out_features(); ++o) {
      const auto begin = order_.begin() + view_.indptr[o];
      const auto end = order_.begin() + view_.indptr[o + 1];
      if (!std::is_sorted(begin, end, before)) std::stable_sort(begin, end, before);
    }
  }

  CsrPickSlice PlanSlice(const int32_t* rows, int32_t lanes) {
    CsrPickSlice slice;
    slice.lanes = lanes;
    slice.begin = static_cast<int64_t>(windows_.size());
    int32_t next[kPickLanes];
    int32_t end[kPickLanes];
    for (int lane = 0; lane < lanes; ++lane) {
      slice.row[lane] = rows[lane];
      next[lane] = static_cast<int32_t>(view_.indptr[rows[lane]]);
      end[lane] = static_cast<int32_t>(view_.indptr[rows[lane] + 1]);
    }
    const int64_t vector = kPickLanes * entries_;
    while (true) {
      int64_t first = columns_;
      for (int lane = 0; lane < lanes; ++lane) {
        if (next[lane] < end[lane]) first = std::min(first, Column(next[lane]));
      }
      if (first == columns_) break;
      const int64_t window = std::min(first / vector * vector, columns_ - 2 * vector);
      windows_.push_back(static_cast<int32_t>(window));
      for (int lane = 0; lane < kPickLanes; ++lane) {
        for (int i = 0; i < entries_; ++i) {
          const bool takes = lane < lanes && next[lane] < end[lane] &&
                             Column(next[lane]) < window + 2 * vector;
          taken_.push_back(takes ? next[lane]++ : kNone);
        }
      }
    }
    slice.end = static_cast<int64_t>(windows_.size());
    return slice;
  }

  const CsrView& view_;
  const int entries_;
  const int64_t most_stored_;
  const int64_t columns_;       // that a row of x has when the kernel reads it
  std::vector<int32_t> order_;  // entries, each row's by column
  std::vector<int32_t> windows_;
  std::vector<int32_t> taken_;  // [step, lane, entry] a place in order_, or kNone
};

// Nothing where a row of x is shorter than a window, or lanes would be idle too often.
std::optional<CsrPicks> Pack(const CsrView& view, const CsrPickKernel& kernel,
                             Precision precision) {
  const int64_t vector = kPickLanes * kernel.entries;
  CsrPicks packed;
  packed.in_features = view.in_features;
  packed.out_features = view.out_features();
  // Two entries a step: the kernel copies x, in bf16, and lengthens its rows; only idle lanes
  // meet what was not copied.
  packed.x_stride = kernel.entries == 1
                        ? view.in_features
                        : std::max(CeilDiv(view.in_features, vector), int64_t{2}) * vector;
  const bool countable = view.nnz <= std::numeric_limits<int32_t>::max();
  if (packed.x_stride < 2 * vector || !countable) return std::nullopt;
  PickPacker packer(view, kernel, packed.x_stride);
  if (!packer.Plan(&packed)) return std::nullopt;
  packer.Fill(precision, &packed);
  return packed;
}

class PickedCsrMatMul final : public RowMatMul {
 public:
  PickedCsrMatMul(CsrPicks weights, const CsrPickKernel& kernel)
      : kernel_(kernel), weights_(std::move(weights)) {
    const auto chunks = static_cast<int64_t>(weights_.chunk.size()) - 1;
    for (int64_t c = 0; c < chunks; ++c) {
      cost_.push_back(weights_.slices[weights_.chunk[c]].begin + c);
    }
    cost_.push_back(static_cast<int64_t>(weights_.window.size()) + chunks);
  }

  const char* description() const override { return kernel_.name; }

  int64_t max_batch(bool) const override { return kernel_.max_batch; }

  int64_t units() const override { return static_cast<int64_t>(cost_.size()) - 1; }

  // Bound by reading weights.
  int64_t macs() const override { return kMacsPerStep * cost_.back(); }

  size_t WorkspaceFloats() const override {
    return kernel_.workspace_floats == nullptr ? 0 : kernel_.workspace_floats(weights_);
  }

  void Run(const Operands& operands, int64_t part, int64_t parts,
           float* workspace) const override {
    const Range chunks = BalancedRange(cost_.data(), units(), part, parts);
    const Range rows{chunks.begin * kCsrChunk,
                     std::min(chunks.end * kCsrChunk, weights_.out_features)};
    if (rows.size() > 0) kernel_.run(weights_, operands, rows, workspace);
  }

 private:
  static constexpr int64_t kMacsPerStep = 2 * kPickLanes;

  const CsrPickKernel& kernel_;
  const CsrPicks weights_;
  std::vector<int64_t> cost_;  // steps and chunks before each chunk, and all
};

const CsrPickKernel* FindPickKernel(Isa isa, Precision precision) {
#if defined(__x86_64__)
  if (VectorIsa(isa) == Isa::kAvx512Bf16 && precision == Precision::kBfloat16) {
    return &csr_picks_avx512_bf16;
  }
  for (const CsrPickKernel* kernel : {&csr_picks_avx512, &csr_picks_avx512_emulated}) {
    if (kernel->isa == Fp32Isa(isa)) return kernel;
  }
#endif
  return nullptr;
}

}  // namespace

std::unique_ptr<RowMatMul> MakePickedCsrMatMul(const CsrView& view, Isa isa,
                                               Precision precision) {
  const CsrPickKernel* kernel = FindPickKernel(isa, precision);
  if (kernel == nullptr) return nullptr;
  std::optional<CsrPicks> packed = Pack(view, *kernel, precision);
  if (!packed) return nullptr;
  return std::make_unique<PickedCsrMatMul>(*std::move(packed), *kernel);
}

}  // namespace nfcompile
