// C[16, 16] += A[16, 32] B[32, 16] of bf16 in tile registers, two by two of them: tdpbf16ps.
#define NFCOMPILE_ISA amx_bf16
#define NFCOMPILE_WIDTH 16
#include "base/isa.h"
#include "kernels/amx/amx_registers.h"
#include "roofline/loops.h"

namespace nfcompile::roofline {
namespace {

constexpr double kFlopsPerRound = 4 * 2.0 * 16 * 16 * 32;

bool Usable() { return IsUsable(Isa::kAmxBf16); }

void Run(int64_t rounds) {
  const amx_bf16::RegisterShapes shapes = amx_bf16::ShapesFor(32);
  TILE_SHAPE(shapes);
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  TILE_ZERO(4);
  TILE_ZERO(5);
  TILE_ZERO(6);
  TILE_ZERO(7);
  for (int64_t round = 0; round < rounds; ++round) {
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 4, 7);
    TILE_DOT(2, 5, 6);
    TILE_DOT(3, 5, 7);
  }
  TILE_RELEASE();
}

}  // namespace

const ArithmeticLoop kBf16Amx = {"bf16-amx", kFlopsPerRound, &Usable, &Run};

}  // namespace nfcompile::roofline
