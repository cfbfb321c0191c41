// Blocks in the registers of AMX.
#define NFCOMPILE_ISA amx_bf16
#define NFCOMPILE_WIDTH 16
#include "kernels/amx/amx_simd.h"

namespace nfcompile {

bool RunAmxBf16(const AmxBlocks& blocks, const TileOperands& operands, Range groups) {
  return amx_bf16::RunGroups(blocks, operands, groups);
}

}  // namespace nfcompile
