// The CSR kernels of one instruction set.
//
// Batch: x is transposed panel by panel to xt[i, t] (t: batch rows of the tile), so that every
// non-zero is one broadcast and kVectors multiply-adds on neighbouring floats:
//
//   yt[o, t] += values[p] xt[column[p], t]
//
// One row: lanes are output rows, and x is gathered.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_
#define NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_

#include "kernels/csr/csr_kernel.h"
#include "kernels/epilogue_simd.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kMaxVectors = NFCOMPILE_CSR_VECTORS;

// sums[0 .. kVectors] += the entries of one segment. kChains independent sums per vector hide
// the latency of the multiply-add.
template <int kVectors, int kChains>
NFCOMPILE_INLINE void AddSegment(const float* values, const uint16_t* column, int64_t count,
                                 const float* xt, Floats (&sums)[kVectors]) {
  constexpr int64_t kTile = kVectors * kWidth;
  Floats chain[kChains][kVectors] = {};
  for (int v = 0; v < kVectors; ++v) chain[0][v] = sums[v];
  int64_t p = 0;
  for (; p + kChains <= count; p += kChains) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      const Floats value = Splat(values[p + c]);
      const float* x = xt + column[p + c] * kTile;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) chain[c][v] += value * Load(x + v * kWidth);
    }
  }
  for (; p < count; ++p) {
    const Floats value = Splat(values[p]);
    const float* x = xt + column[p] * kTile;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) chain[0][v] += value * Load(x + v * kWidth);
  }
  for (int v = 0; v < kVectors; ++v) {
    sums[v] = chain[0][v];
    for (int c = 1; c < kChains; ++c) sums[v] += chain[c][v];
  }
}

// y[m, o] = epilogue(yt[o, t]) for the rows `rows` of a tile that starts at batch row `m0`.
NFCOMPILE_INLINE void FinishTile(const Operands& operands, int64_t out, int64_t m0, int batch,
                                 Range rows, const float* yt, int64_t tile) {
  for (int64_t o = rows.begin; o < rows.end; o += kWidth) {
    const int lanes = rows.end - o < kWidth ? static_cast<int>(rows.end - o) : kWidth;
    const Floats bias = LoadBias(operands.epilogue, o, lanes);
    for (int t = 0; t < batch; t += kWidth) {
      Floats sums[kWidth];
      // Rows beyond the range are workspace too: whatever they hold is not stored.
      for (int i = 0; i < kWidth; ++i) sums[i] = Load(yt + (o - rows.begin + i) * tile + t);
      Transpose(sums);
      const int count = batch - t < kWidth ? batch - t : kWidth;
      for (int i = 0; i < count; ++i) {
        const int64_t index = (m0 + t + i) * out + o;
        FinishAndStore(operands.epilogue, sums[i], bias, operands.y, index, lanes);
      }
    }
  }
}

template <int kVectors>
void RunTile(const CsrWeights& weights, const Operands& operands, int64_t m0, int batch,
             Range rows, float* workspace) {
  constexpr int64_t kTile = kVectors * kWidth;
  constexpr int kChains = kVectors == 1 ? 4 : 2;
  const CsrPanels& panels = weights.panels;
  const int64_t in = weights.in_features;
  float* xt = workspace;
  float* yt = workspace + panels.columns * kTile;
  for (int64_t panel = 0; panel < panels.panels; ++panel) {
    const int64_t first = panel * panels.columns;
    const int64_t columns = in - first < panels.columns ? in - first : panels.columns;
    for (int v = 0; v < kVectors; ++v) {
      const int valid = batch - v * kWidth < kWidth ? batch - v * kWidth : kWidth;
      TransposeStrip(operands.x + (m0 + v * kWidth) * in + first, in, valid, columns,
                     xt + v * kWidth, kTile);
    }
    const int64_t* segment = panels.segment.data() + panel * weights.out_features;
    const uint8_t* row = panels.row.data() + panel * weights.out_features;
    for (int64_t o = rows.begin; o < rows.end; ++o) {
      const int64_t chunk = (o - rows.begin) / kCsrChunk * kCsrChunk;
      float* sums_at = yt + (chunk + row[o]) * kTile;
      Floats sums[kVectors] = {};
      if (panel > 0) {
        for (int v = 0; v < kVectors; ++v) sums[v] = Load(sums_at + v * kWidth);
      }
      AddSegment<kVectors, kChains>(panels.values.data() + segment[o],
                                    panels.column.data() + segment[o],
                                    segment[o + 1] - segment[o], xt, sums);
      for (int v = 0; v < kVectors; ++v) Store(sums_at + v * kWidth, sums[v]);
    }
  }
  FinishTile(operands, weights.out_features, m0, batch, rows, yt, kTile);
}

template <int kVectors>
void RunTileOf(int vectors, const CsrWeights& weights, const Operands& operands, int64_t m0,
               int batch, Range rows, float* workspace) {
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) {
      RunTileOf<kVectors - 1>(vectors, weights, operands, m0, batch, rows, workspace);
      return;
    }
  }
  RunTile<kVectors>(weights, operands, m0, batch, rows, workspace);
}

void CsrTimesMatrix(const CsrWeights& weights, const Operands& operands, Range batch,
                    Range rows, float* workspace) {
  constexpr int kTile = kMaxVectors * kWidth;
  for (int64_t m = batch.begin; m < batch.end; m += kTile) {
    const int count = batch.end - m < kTile ? static_cast<int>(batch.end - m) : kTile;
    const int vectors = (count + kWidth - 1) / kWidth;
    RunTileOf<kMaxVectors>(vectors, weights, operands, m, count, rows, workspace);
  }
}

template <typename Index>
void RunSlices(const CsrSlices& packed, const Index* column, const float* x,
               const Operands& operands, Range rows, int64_t y_offset) {
  float sums[kCsrChunk + kWidth];
  for (int64_t first = rows.begin; first < rows.end; first += kCsrChunk) {
    const int64_t chunk = first / kCsrChunk;
    const int64_t last = rows.end - first < kCsrChunk ? rows.end - first : kCsrChunk;
    const CsrSlice* slice = packed.slices.data() + packed.chunk[chunk];
    const CsrSlice* end = packed.slices.data() + packed.chunk[chunk + 1];
    for (; slice != end; ++slice) {
      Floats even = Splat(0.0f);
      Floats odd = Splat(0.0f);
      const float* values = packed.values.data() + slice->begin;
      const Index* index = column + slice->begin;
      int32_t k = 0;
      for (; k + 2 <= slice->length; k += 2) {
        even += Load(values + k * kWidth) * Gather(x, index + k * kWidth);
        odd += Load(values + (k + 1) * kWidth) * Gather(x, index + (k + 1) * kWidth);
      }
      if (k < slice->length) even += Load(values + k * kWidth) * Gather(x, index + k * kWidth);
      float lane_sum[kWidth];
      Store(lane_sum, even + odd);
      int64_t p = slice->rest;
      for (int lane = 0; lane < slice->lanes; ++lane) {
        float sum = lane_sum[lane];
        for (const int64_t stop = p + slice->rest_size[lane]; p < stop; ++p) {
          sum += packed.values[p] * x[column[p]];
        }
        sums[slice->row[lane] - first] = sum;
      }
    }
    for (int64_t i = 0; i < last; i += kWidth) {
      const int lanes = last - i < kWidth ? static_cast<int>(last - i) : kWidth;
      const Floats bias = LoadBias(operands.epilogue, first + i, lanes);
      FinishAndStore(operands.epilogue, Load(sums + i), bias, operands.y, y_offset + first + i,
                     lanes);
    }
  }
}

void CsrTimesVector(const CsrWeights& weights, const Operands& operands, Range batch,
                    Range rows) {
  const float* x = operands.x + batch.begin * weights.in_features;
  const int64_t y_offset = batch.begin * weights.out_features;
  const CsrSlices& packed = weights.slices;
  if (packed.wide.data() == nullptr) {
    RunSlices(packed, packed.narrow.data(), x, operands, rows, y_offset);
  } else {
    RunSlices(packed, packed.wide.data(), x, operands, rows, y_offset);
  }
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_CSR_CSR_SIMD_H_
