// Instruction sets that kernels are compiled for, and which of them this machine can run.
#ifndef NFCOMPILE_BASE_ISA_H_
#define NFCOMPILE_BASE_ISA_H_

#include <string>
#include <string_view>
#include <vector>

namespace nfcompile {

enum class Isa {
  kScalar,
  kAvx2,            // AVX2 and FMA
  kAvx512,          // AVX-512 F, VL, BW and DQ
  kAvx512Bf16,      // the same and AVX512-BF16
  kAmxBf16,         // the same and AMX-TILE and AMX-BF16
  kAvx512Emulated,  // the 16-wide code compiled for AVX2: for tests, never selected
  kAmxEmulated,     // the same with the registers of AMX in plain code
};

std::string_view IsaName(Isa isa);

// The set whose kernels a machine of `isa` runs where they are not products of bf16 tiles: AMX
// brings nothing else.
inline Isa VectorIsa(Isa isa) {
  if (isa == Isa::kAmxBf16) return Isa::kAvx512Bf16;
  return isa == Isa::kAmxEmulated ? Isa::kAvx512Emulated : isa;
}

// The set whose fp32 kernels it runs: the bf16 extensions bring none of their own.
inline Isa Fp32Isa(Isa isa) {
  return VectorIsa(isa) == Isa::kAvx512Bf16 ? Isa::kAvx512 : VectorIsa(isa);
}

// Whether this processor is known to run operations on 512 bits at full width: a Zen 5 that is
// not double-pumped, as Zen 4 and the Zen 5 of laptops are. Multiply-adds then take half the
// time, and products over rows, which read x for each of them, are bound by loads earlier.
// Others, Intel's, count as Zen 4, where thresholds were measured first.
bool HasFullWidthAvx512();

// Instruction sets of this machine (processor and operating system), best first; the
// environment does not matter here.
std::vector<Isa> UsableIsas();

// Whether it is one of them.
bool IsUsable(Isa isa);

// As UsableIsas, with the emulated ones.
std::vector<Isa> TestIsas();

// The best usable instruction set not above the environment's NFCOMPILE_MAX_ISA. Throws
// std::invalid_argument where that variable holds an unknown name.
Isa SelectIsa();

// The instruction set of that name; "" selects. Throws std::invalid_argument where the name is
// unknown or this machine cannot run it.
Isa IsaFromName(std::string_view name);

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_ISA_H_
