// The tile registers of AMX: instructions where the source is compiled for them; for tests on
// other machines, plain code for what they do, which ends the process where they would fault.
// (It adds products one by one and keeps subnormal numbers, which they do not.)
//
// Registers 0 to 3 hold sums, 4 and 5 weights, 6 and 7 pairs of x.
#ifndef NFCOMPILE_KERNELS_AMX_AMX_REGISTERS_H_
#define NFCOMPILE_KERNELS_AMX_AMX_REGISTERS_H_

#include <cstdint>
#include <cstring>

#include "kernels/precision.h"
#include "kernels/simd.h"

namespace nfcompile::NFCOMPILE_ISA {
namespace {

struct alignas(64) RegisterShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_per_row[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(RegisterShapes) == 64);

// For weights of 16 rows and `columns` columns.
inline RegisterShapes ShapesFor(int columns) {
  RegisterShapes shapes;
  for (int t = 0; t < 8; ++t) {
    const bool weights = t == 4 || t == 5;
    shapes.bytes_per_row[t] = static_cast<uint16_t>(weights ? 2 * columns : 64);
    shapes.rows[t] = static_cast<uint8_t>(t >= 6 ? columns / 2 : 16);
  }
  return shapes;
}

#if defined(__AMX_BF16__)

// The compiler does not know that these read and write memory.
#define NFCOMPILE_FENCE() asm volatile("" : : : "memory")
#define TILE_SHAPE(shapes)     \
  do {                         \
    NFCOMPILE_FENCE();         \
    _tile_loadconfig(&shapes); \
  } while (false)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define TILE_STORE(t, to, stride) \
  do {                            \
    _tile_stored(t, to, stride);  \
    NFCOMPILE_FENCE();            \
  } while (false)
#define TILE_DOT(sums, w, x) _tile_dpbf16ps(sums, w, x)

#else

struct Registers {
  RegisterShapes shapes;
  uint8_t data[8][16][64];
};

inline Registers& TheRegisters() {
  thread_local Registers registers;
  return registers;
}

inline void Configure(const RegisterShapes& shapes) {
  TheRegisters().shapes = shapes;
  std::memset(TheRegisters().data, 0, sizeof(TheRegisters().data));
}

inline void Release() { Configure({.palette = 0}); }

inline void Expect(bool right) {
  if (!right) __builtin_trap();
}

inline uint8_t* Data(int t) {
  Expect(TheRegisters().shapes.palette == 1 && TheRegisters().shapes.rows[t] > 0);
  return TheRegisters().data[t][0];
}

inline void Zero(int t) { std::memset(Data(t), 0, sizeof(TheRegisters().data[t])); }

inline void LoadRegister(int t, const void* from, int64_t stride) {
  Registers& at = TheRegisters();
  Zero(t);
  for (int r = 0; r < at.shapes.rows[t]; ++r) {
    const auto* row = static_cast<const uint8_t*>(from) + r * stride;
    std::memcpy(at.data[t][r], row, at.shapes.bytes_per_row[t]);
  }
}

inline void StoreRegister(int t, void* to, int64_t stride) {
  const Registers& at = TheRegisters();
  Expect(Data(t) != nullptr);
  for (int r = 0; r < at.shapes.rows[t]; ++r) {
    std::memcpy(static_cast<uint8_t*>(to) + r * stride, at.data[t][r],
                at.shapes.bytes_per_row[t]);
  }
}

inline float HalfAt(const uint8_t* row, int i) {
  uint16_t bits;
  std::memcpy(&bits, row + 2 * i, sizeof(bits));
  return FromBfloat16(bits);
}

inline void Dot(int sums, int w, int x) {
  Registers& at = TheRegisters();
  Expect(at.shapes.palette == 1 && at.shapes.rows[sums] == at.shapes.rows[w] &&
         at.shapes.bytes_per_row[sums] == at.shapes.bytes_per_row[x] &&
         at.shapes.bytes_per_row[w] == 4 * at.shapes.rows[x]);
  for (int m = 0; m < at.shapes.rows[sums]; ++m) {
    for (int k = 0; k < at.shapes.bytes_per_row[w] / 4; ++k) {
      for (int n = 0; n < at.shapes.bytes_per_row[sums] / 4; ++n) {
        float sum;
        std::memcpy(&sum, at.data[sums][m] + 4 * n, sizeof(sum));
        for (int i = 0; i < 2; ++i) {
          sum += HalfAt(at.data[w][m], 2 * k + i) * HalfAt(at.data[x][k], 2 * n + i);
        }
        std::memcpy(at.data[sums][m] + 4 * n, &sum, sizeof(sum));
      }
    }
  }
}

#define TILE_SHAPE(shapes) Configure(shapes)
#define TILE_RELEASE() Release()
#define TILE_ZERO(t) Zero(t)
#define TILE_LOAD(t, from, stride) LoadRegister(t, from, stride)
#define TILE_STORE(t, to, stride) StoreRegister(t, to, stride)
#define TILE_DOT(sums, w, x) Dot(sums, w, x)

#endif

}  // namespace
}  // namespace nfcompile::NFCOMPILE_ISA

#endif  // NFCOMPILE_KERNELS_AMX_AMX_REGISTERS_H_
