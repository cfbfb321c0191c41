// The training kernels of one instruction set.
//
// A tile is up to kTile batch rows, filled up with zeros to whole vectors; its transpose is
// tile[i, t] with t running over lanes(tile). Tile number n starts at batch row n * kTile, and
// at float n * kTile * columns of the workspace. The cut depends on the batch alone.
#ifndef NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_SIMD_H_
#define NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_SIMD_H_

#include "kernels/csr_training/csr_training.h"
#include "kernels/transpose_simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

constexpr int kMaxVectors = NFCOMPILE_CSR_TRAINING_VECTORS;
constexpr int kTile = kMaxVectors * kWidth;
// Features that are transposed together: whole cache lines on both sides.
constexpr int kBlock = kCsrTrainingRows;
static_assert(kBlock % kWidth == 0);

// A block of up to kBlock features of a tile.
typedef float BlockBuffer[kBlock * kTile] __attribute__((aligned(64)));

// to[c, t] = from[t, c] for `count` batch rows and `columns` features; other lanes are zero.
NFCOMPILE_INLINE void PackBlock(const float* from, int64_t stride, int count, int64_t columns,
                                float* to, int lanes) {
  for (int t = 0; t < lanes; t += kWidth) {
    const int valid = count - t < kWidth ? count - t : kWidth;
    TransposeStrip(from + t * stride, stride, valid, columns, to + t, lanes);
  }
}

// to[t, c] = from[c, t] for `count` batch rows and `columns` features.
NFCOMPILE_INLINE void UnpackBlock(const float* from, int lanes, int64_t columns, float* to,
                                  int64_t stride, int count) {
  for (int t = 0; t < count; t += kWidth) {
    const int valid = count - t < kWidth ? count - t : kWidth;
    int64_t c = 0;
    for (; c + kWidth <= columns; c += kWidth) {
      Floats rows[kWidth];
      for (int i = 0; i < kWidth; ++i) rows[i] = Load(from + (c + i) * lanes + t);
      Transpose(rows);
      for (int i = 0; i < valid; ++i) Store(to + (t + i) * stride + c, rows[i]);
    }
    for (; c < columns; ++c) {
      for (int i = t; i < t + valid; ++i) to[i * stride + c] = from[c * lanes + i];
    }
  }
}

// yt[o, t] = sum of values[p] xt[column[p], t] over the entries of a row. kChains independent
// sums hide the latency of the multiply-add.
template <int kVectors>
NFCOMPILE_INLINE void RowTimesTile(const float* values, const int32_t* column, int64_t count,
                                   const float* xt, float* yt) {
  constexpr int kLanes = kVectors * kWidth;
  constexpr int kChains = kVectors == 1 ? 4 : (kVectors <= 4 ? 2 : 1);
  Floats sums[kChains][kVectors] = {};
  int64_t p = 0;
  for (; p + kChains <= count; p += kChains) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const Floats value = Splat(values[p + c]);
      const float* x = xt + int64_t{column[p + c]} * kLanes;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[c][v] += value * Load(x + v * kWidth);
    }
  }
  for (; p < count; ++p) {
    const Floats value = Splat(values[p]);
    const float* x = xt + int64_t{column[p]} * kLanes;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[0][v] += value * Load(x + v * kWidth);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    for (int c = 1; c < kChains; ++c) sums[0][v] += sums[c][v];
    Store(yt + v * kWidth, sums[0][v]);
  }
}

template <int kVectors>
struct ForwardTile {
  static void Run(const CsrStep& step, int64_t m, int count, Range rows, const float* xt) {
    constexpr int kLanes = kVectors * kWidth;
    const CsrPattern& w = step.pattern;
    BlockBuffer yt;
    for (int64_t first = rows.begin; first < rows.end; first += kBlock) {
      const int64_t size = rows.end - first < kBlock ? rows.end - first : kBlock;
      for (int64_t o = first; o < first + size; ++o) {
        const int64_t p = w.indptr[o];
        RowTimesTile<kVectors>(step.values + p, w.indices + p, w.indptr[o + 1] - p, xt,
                               yt + (o - first) * kLanes);
      }
      UnpackBlock(yt, kLanes, size, step.y + m * w.rows + first, w.rows, count);
    }
  }
};

// dvalues[p] for up to kWidth entries of one row: the lanes of kWidth sums are added up by one
// transpose.
template <int kVectors>
NFCOMPILE_INLINE Floats Dots(const Floats (&dy)[kVectors], const int32_t* column, int count,
                             const float* xt) {
  constexpr int kLanes = kVectors * kWidth;
  Floats sums[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    if (i >= count) {
      sums[i] = Splat(0.0f);
      continue;
    }
    const float* x = xt + int64_t{column[i]} * kLanes;
    Floats even = dy[0] * Load(x);
    Floats odd = Splat(0.0f);
#pragma GCC unroll 8
    for (int v = 1; v < kVectors; ++v) {
      (v % 2 == 0 ? even : odd) += dy[v] * Load(x + v * kWidth);
    }
    sums[i] = even + odd;
  }
  Transpose(sums);
#pragma GCC unroll 4
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

template <int kVectors>
struct DValuesTile {
  static void Run(const CsrStep& step, int64_t m, int count, Range rows, const float* xt) {
    constexpr int kLanes = kVectors * kWidth;
    const CsrPattern& w = step.pattern;
    const bool add = step.accumulate || m > 0;
    BlockBuffer dyt;
    for (int64_t first = rows.begin; first < rows.end; first += kBlock) {
      const int64_t size = rows.end - first < kBlock ? rows.end - first : kBlock;
      PackBlock(step.dy + m * w.rows + first, w.rows, count, size, dyt, kLanes);
      for (int64_t o = first; o < first + size; ++o) {
        Floats dy[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          dy[v] = Load(dyt + (o - first) * kLanes + v * kWidth);
        }
        const int64_t end = w.indptr[o + 1];
        int64_t p = w.indptr[o];
        for (; p + kWidth <= end; p += kWidth) {
          Floats sums = Dots<kVectors>(dy, w.indices + p, kWidth, xt);
          if (add) sums += Load(step.dvalues + p);
          Store(step.dvalues + p, sums);
        }
        if (p == end) continue;
        const int rest = static_cast<int>(end - p);
        Floats sums = Dots<kVectors>(dy, w.indices + p, rest, xt);
        if (add) sums += LoadPart(step.dvalues + p, rest);
        StorePart(step.dvalues + p, sums, rest);
      }
    }
  }
};

template <int kVectors>
struct DxTile {
  static void Run(const CsrStep& step, int64_t m, int count, Range, float* dxt) {
    constexpr int kLanes = kVectors * kWidth;
    const CsrPattern& w = step.pattern;
    for (int64_t i = 0; i < w.columns * kLanes; i += kWidth) Store(dxt + i, Splat(0.0f));
    BlockBuffer dyt;
    for (int64_t first = 0; first < w.rows; first += kBlock) {
      const int64_t size = w.rows - first < kBlock ? w.rows - first : kBlock;
      PackBlock(step.dy + m * w.rows + first, w.rows, count, size, dyt, kLanes);
      for (int64_t o = first; o < first + size; ++o) {
        Floats dy[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          dy[v] = Load(dyt + (o - first) * kLanes + v * kWidth);
        }
        for (int64_t p = w.indptr[o]; p < w.indptr[o + 1]; ++p) {
          const Floats value = Splat(step.values[p]);
          float* dx = dxt + int64_t{w.indices[p]} * kLanes;
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            Store(dx + v * kWidth, Load(dx + v * kWidth) + value * dy[v]);
          }
        }
      }
    }
    for (int64_t first = 0; first < w.columns; first += kBlock) {
      const int64_t size = w.columns - first < kBlock ? w.columns - first : kBlock;
      UnpackBlock(dxt + first * kLanes, kLanes, size, step.dx + m * w.columns + first,
                  w.columns, count);
    }
  }
};

// Runs the template whose vectors hold `count` batch rows.
template <template <int> class Tile, int kVectors = kMaxVectors, typename Workspace>
void RunTile(const CsrStep& step, int64_t m, int count, Range rows, Workspace* workspace) {
  if constexpr (kVectors > 1) {
    if (count <= (kVectors - 1) * kWidth) {
      RunTile<Tile, kVectors - 1>(step, m, count, rows, workspace);
      return;
    }
  }
  Tile<kVectors>::Run(step, m, count, rows, workspace);
}

template <template <int> class Tile, typename Workspace>
void RunTiles(const CsrStep& step, Range batch, Range rows, Workspace* workspace) {
  for (int64_t m = batch.begin; m < batch.end; m += kTile) {
    const int count = batch.end - m < kTile ? static_cast<int>(batch.end - m) : kTile;
    RunTile<Tile>(step, m, count, rows, workspace + m * step.pattern.columns);
  }
}

void Pack(const CsrStep& step, Range columns, float* workspace) {
  const int64_t in = step.pattern.columns;
  for (int64_t m = 0; m < step.batch; m += kTile) {
    const int count = step.batch - m < kTile ? static_cast<int>(step.batch - m) : kTile;
    const int lanes = (count + kWidth - 1) / kWidth * kWidth;
    for (int64_t first = columns.begin; first < columns.end; first += kBlock) {
      const int64_t size = columns.end - first < kBlock ? columns.end - first : kBlock;
      PackBlock(step.x + m * in + first, in, count, size, workspace + m * in + first * lanes,
                lanes);
    }
  }
}

void Forward(const CsrStep& step, Range rows, const float* workspace) {
  RunTiles<ForwardTile>(step, {0, step.batch}, rows, workspace);
}

void DValues(const CsrStep& step, Range rows, const float* workspace) {
  RunTiles<DValuesTile>(step, {0, step.batch}, rows, workspace);
}

void Dx(const CsrStep& step, Range batch, float* workspace) {
  if (step.batch == 1) {  // scattering whole vectors would be three times as slow
    csr_training_f32_scalar.dx(step, batch, workspace);
    return;
  }
  RunTiles<DxTile>(step, batch, {}, workspace);
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_CSR_TRAINING_CSR_TRAINING_SIMD_H_
