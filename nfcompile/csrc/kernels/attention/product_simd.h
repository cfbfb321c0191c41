// Small dense products: c[m, n] = factor[m] * sum_i a[m, i] b[i, n], lanes are neighbouring n.
// What an element is, and how two are multiplied and added, is said by `Add`.
#ifndef NFCOMPILE_KERNELS_ATTENTION_PRODUCT_SIMD_H_
#define NFCOMPILE_KERNELS_ATTENTION_PRODUCT_SIMD_H_

#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

// Rows of two vectors whose sums stay in registers.
constexpr int kRowsAtOnce = NFCOMPILE_ATTENTION_ROWS;

// A matrix and the distance of its rows.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* operator[](int64_t row) const { return data + row * stride; }
};

struct AddFloats {
  NFCOMPILE_INLINE static Floats Run(Floats sum, Floats a, Floats b) { return sum + a * b; }
};

struct Product {
  Rows<const float> a;
  Rows<const float> b;
  Rows<float> c;
  const float* factor;
  int64_t depth;
};

// Rows m .. m + kRows and columns n .. n + kVectors * kWidth, or n + lanes where kPart.
template <typename Add, int kRows, int kVectors, bool kPart>
NFCOMPILE_INLINE void Tile(const Product& p, int64_t m, int64_t n, int lanes) {
  Floats sums[kRows][kVectors] = {};
  const Rows<const float> a{p.a[m], p.a.stride};
  const float* b = p.b.data + n;
  for (int64_t i = 0; i < p.depth; ++i, b += p.b.stride) {
    Floats row[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      row[v] = kPart ? LoadPart(b, lanes) : Load(b + v * kWidth);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Floats value = Splat(a[r][i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Add::Run(sums[r][v], value, row[v]);
    }
  }
  const Rows<float> c{p.c[m] + n, p.c.stride};
  const float* factor = p.factor + m;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const Floats sum = sums[r][v] * Splat(factor[r]);
      if constexpr (kPart) {
        StorePart(c[r], sum, lanes);
      } else {
        Store(c[r] + v * kWidth, sum);
      }
    }
  }
}

// The rows from m on, of which there are `left`.
template <typename Add, int kVectors, bool kPart, int kRows = kRowsAtOnce>
void TileColumn(const Product& p, int64_t m, int64_t left, int64_t n, int lanes) {
  for (; left >= kRows; m += kRows, left -= kRows) {
    Tile<Add, kRows, kVectors, kPart>(p, m, n, lanes);
  }
  if constexpr (kRows > 1) {
    if (left > 0) TileColumn<Add, kVectors, kPart, kRows - 1>(p, m, left, n, lanes);
  }
}

template <typename Add>
void Multiply(const Product& p, int64_t rows, int64_t columns) {
  int64_t n = 0;
  for (; n + 2 * kWidth <= columns; n += 2 * kWidth) {
    TileColumn<Add, 2, false>(p, 0, rows, n, 0);
  }
  for (; n + kWidth <= columns; n += kWidth) TileColumn<Add, 1, false>(p, 0, rows, n, 0);
  if (n < columns) TileColumn<Add, 1, true>(p, 0, rows, n, static_cast<int>(columns - n));
}

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_ATTENTION_PRODUCT_SIMD_H_
