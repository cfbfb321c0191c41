#include "kernels/bsr/bsr.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kernels/bsr/bsr_kernel.h"
#include "kernels/csr/csr.h"
#include "kernels/indptr.h"
#include "kernels/tile/tile_pack.h"

namespace nfcompile {
namespace {

// The largest batches over rows: beyond, tiles are as fast or faster (Zen 4, blocks of 16 x
// 16).
constexpr int64_t kMaxBatchAlone = 128;
constexpr int64_t kMaxBatchInChain = 16;
// Where vectors are of full width (Zen 5, docs/speed.md) and blocks have one of rows: two
// multiply-adds could begin in each cycle, and each reads an element of x.
constexpr int64_t kMaxBatchFullWidthAlone = 16;
constexpr int64_t kMaxBatchFullWidthInChain = 14;
constexpr int64_t kMaxBatchNarrow = 9;  // weights in bf16
// And products of pairs (Zen 5, docs/speed.md), the second where blocks have more than a vector
// of rows. Not on machines with AMX, whose tiles are faster.
constexpr int64_t kMaxBatchPairs = 12;
constexpr int64_t kMaxBatchWidePairs = 16;

// Lanes are the rows of a block; with fewer of them in use than this share, the weights do
// better as CSR.
constexpr double kMinLanesInUse = 0.6;

bool FillsLanes(int64_t block_rows, int width) {
  const int64_t padded = (block_rows + width - 1) / width * width;
  return static_cast<double>(block_rows) >= kMinLanesInUse * static_cast<double>(padded);
}

// The widest kernel, not above `machine`, whose lanes the blocks fill.
const BsrKernel* FindKernel(Isa machine, const BsrView& view, Precision precision) {
#if defined(__x86_64__)
  const Isa isa = Fp32Isa(machine);
  const auto fits = [&](const BsrKernel& kernel) {
    return FillsLanes(view.block_rows, kernel.width) &&
           view.block_columns % kernel.columns == 0;
  };
  if (VectorIsa(machine) == Isa::kAvx512Bf16 && precision == Precision::kBfloat16 &&
      fits(bsr_bf16_avx512_bf16)) {
    return &bsr_bf16_avx512_bf16;
  }
  if (isa == Isa::kAvx512 && fits(bsr_f32_avx512)) return &bsr_f32_avx512;
  if (isa == Isa::kAvx512Emulated && fits(bsr_f32_avx512_emulated)) {
    return &bsr_f32_avx512_emulated;
  }
  if ((isa == Isa::kAvx512 || isa == Isa::kAvx2) && fits(bsr_f32_avx2)) return &bsr_f32_avx2;
#endif
  return nullptr;
}

class SimdBsrMatMul final : public RowMatMul {
 public:
  SimdBsrMatMul(const BsrView& view, const BsrKernel& kernel, Isa machine, Precision precision)
      : kernel_(kernel),
        machine_(machine),
        weights_(PackBsr(view, kernel, precision)),
        description_(
            Cat(kernel.name, ", blocks of ", view.block_rows, " x ", view.block_columns)) {
    for (int64_t i = 0; i < view.indptr.size(); ++i) cost_.push_back(view.indptr[i] * 8 + i);
  }

  const char* description() const override { return description_.c_str(); }

  int64_t max_batch(bool alone) const override {
    const bool narrow = weights_.values.precision() == Precision::kBfloat16;
    if (kernel_.columns == 2 && machine_ != Isa::kAmxBf16) {
      return weights_.vectors > 1 ? kMaxBatchWidePairs : kMaxBatchPairs;
    }
    if (narrow) return kMaxBatchNarrow;
    if (weights_.vectors == 1 && kernel_.width == 16 && HasFullWidthAvx512()) {
      return alone ? kMaxBatchFullWidthAlone : kMaxBatchFullWidthInChain;
    }
    return alone ? kMaxBatchAlone : kMaxBatchInChain;
  }

  int64_t units() const override { return static_cast<int64_t>(cost_.size()) - 1; }

  int64_t macs() const override {
    return static_cast<int64_t>(weights_.values.size()) + weights_.out_features;
  }

  size_t WorkspaceFloats() const override {
    return kernel_.workspace_floats == nullptr ? 0 : kernel_.workspace_floats(weights_);
  }

  void Run(const Operands& operands, int64_t part, int64_t parts,
           float* workspace) const override {
    const Range rows = BalancedRange(cost_.data(), units(), part, parts);
    if (rows.size() == 0) return;
    for (int64_t m = 0; m < operands.batch; m += BatchTile()) {
      const Range batch{m, std::min(m + BatchTile(), operands.batch)};
      kernel_.matrix(weights_, operands, batch, rows, workspace);
    }
  }

 private:
  // As many rows of x as half a second-level cache of 512 KiB holds.
  int64_t BatchTile() const {
    if (kernel_.batch_rows != 0) return kernel_.batch_rows;
    constexpr int64_t kFloats = 64 << 10;
    return std::clamp<int64_t>(kFloats / std::max<int64_t>(weights_.in_features, 1), 12, 64);
  }

  const BsrKernel& kernel_;
  const Isa machine_;
  const BsrWeights weights_;
  const std::string description_;
  std::vector<int64_t> cost_;  // prefix sums over block rows
};

// Block rows as CSR: blocks that fill too few lanes.
MatMul MakeCsrFromBsr(const BsrView& view, Isa isa, Precision precision) {
  const int64_t stored = view.blocks * view.block_rows * view.block_columns;
  std::vector<float> values(stored);
  std::vector<int32_t> indices(stored);
  std::vector<int64_t> indptr{0};
  int64_t end = 0;
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t r = 0; r < view.block_rows; ++r) {
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t c = 0; c < view.block_columns; ++c) {
          values[end] = view.values[(p * view.block_rows + r) * view.block_columns + c];
          indices[end++] = static_cast<int32_t>(view.indices[p] * view.block_columns + c);
        }
      }
      indptr.push_back(end);
    }
  }
  return MakeCsrMatMul(
      {.values = values.data(),
       .nnz = stored,
       .indices = {indices.data(), stored, IndexType::kInt32},
       .indptr = {indptr.data(), static_cast<int64_t>(indptr.size()), IndexType::kInt64},
       .in_features = view.in_features},
      isa, precision);
}

TileWeights PackBsrTile(const BsrView& view, Isa isa, Precision precision) {
  TilePacker packer(view.out_features(), view.in_features, isa);
  const int64_t height = view.block_rows;
  const int64_t width = view.block_columns;
  std::vector<int32_t> rows(height);
  std::vector<int32_t> columns;
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(i * height));
    columns.clear();
    for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
      for (int64_t c = 0; c < width; ++c) {
        columns.push_back(static_cast<int32_t>(view.indices[p] * width + c));
      }
    }
    packer.Add(rows.data(), height, columns.data(), static_cast<int64_t>(columns.size()),
               [&](int64_t r, int64_t k) {
                 const int64_t p = view.indptr[i] + k / width;
                 return view.values[(p * height + r) * width + k % width];
               });
  }
  return packer.Pack(precision);
}

}  // namespace

BsrWeights PackBsr(const BsrView& view, const BsrKernel& kernel, Precision precision) {
  const int64_t width = kernel.width;
  BsrWeights weights;
  weights.in_features = view.in_features;
  weights.out_features = view.out_features();
  weights.block_rows = view.block_rows;
  weights.block_columns = view.block_columns;
  weights.vectors = (view.block_rows + width - 1) / width;
  weights.indptr = AlignedArray<int64_t>(view.indptr.size());
  weights.starts = AlignedArray<int32_t>(view.blocks);
  weights.values =
      WeightArray(view.blocks * view.block_columns * weights.vectors * width, precision);
  for (int64_t i = 0; i < view.indptr.size(); ++i) weights.indptr[i] = view.indptr[i];
  for (int64_t p = 0; p < view.blocks; ++p) {
    weights.starts[p] = static_cast<int32_t>(view.indices[p] * view.block_columns);
  }
  size_t next = 0;
  for (int64_t i = 0; i + 1 < view.indptr.size(); ++i) {
    for (int64_t first = 0; first < weights.vectors; first += kernel.strip_vectors) {
      const int64_t lanes =
          std::min<int64_t>(kernel.strip_vectors, weights.vectors - first) * width;
      for (int64_t p = view.indptr[i]; p < view.indptr[i + 1]; ++p) {
        for (int64_t c = 0; c < view.block_columns; c += kernel.columns) {
          for (int64_t r = first * width; r < first * width + lanes; ++r) {
            const int64_t from = (p * view.block_rows + r) * view.block_columns + c;
            for (int k = 0; k < kernel.columns; ++k) {
              weights.values.Set(next++, r < view.block_rows ? view.values[from + k] : 0.0f);
            }
          }
        }
      }
    }
  }
  return weights;
}

void Check(const BsrView& weights) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  Require(weights.in_features >= 0 && weights.in_features <= kMax,
          "in_features must lie in 0 .. ", kMax, ", got ", weights.in_features);
  Require(weights.block_rows >= 1 && weights.block_columns >= 1,
          "BSR blocks must be at least 1 x 1, got ", weights.block_rows, " x ",
          weights.block_columns);
  Require(weights.in_features % weights.block_columns == 0,
          "in_features must be a multiple of the columns of a BSR block, ",
          weights.block_columns, ", got ", weights.in_features);
  CheckIndptr("BSR", weights.indptr, weights.indices, weights.blocks,
              weights.in_features / weights.block_columns, "block columns");
}

MatMul MakeBsrMatMul(const BsrView& weights, Isa isa, Precision precision) {
  Check(weights);
  std::unique_ptr<RowMatMul> rows;
  if (isa == Isa::kScalar) {
    rows = MakeScalarBsrMatMul(weights);
  } else {
    const BsrKernel* kernel = FindKernel(isa, weights, precision);
    if (kernel == nullptr) return MakeCsrFromBsr(weights, isa, precision);
    rows = std::make_unique<SimdBsrMatMul>(weights, *kernel, isa, precision);
  }
  return MakeMatMul(std::move(rows), PackBsrTile(weights, isa, precision), isa);
}

}  // namespace nfcompile
