// The same in plain code, for tests.
#define NFCOMPILE_ISA amx_emulated
#define NFCOMPILE_WIDTH 16
#include "kernels/amx/amx_simd.h"

namespace nfcompile {

bool RunAmxEmulated(const AmxBlocks& blocks, const TileOperands& operands, Range groups) {
  return amx_emulated::RunGroups(blocks, operands, groups);
}

}  // namespace nfcompile
