#include "base/isa.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/text.h"

namespace nfcompile {
namespace {

constexpr Isa kLimits[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
                           Isa::kAmxBf16};

bool HasAvx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool HasAvx512() {
#if defined(__x86_64__)
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

bool HasAvx512Bf16() {
#if defined(__x86_64__)
  return HasAvx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// Linux hands out the 8 KiB of tile registers on request, to a process for good.
bool HasAmxBf16() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool has = HasAvx512Bf16() && __builtin_cpu_supports("amx-tile") &&
                          __builtin_cpu_supports("amx-bf16") &&
                          syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return has;
#else
  return false;
#endif
}

// Those not above `max_isa`: nothing is asked of the system for others.
std::vector<Isa> Usable(Isa max_isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  std::vector<Isa> isas;
  const auto add = [&](Isa isa, bool (*has)()) {
    if (isa <= max_isa && has()) isas.push_back(isa);
  };
  add(Isa::kAmxBf16, HasAmxBf16);
  add(Isa::kAvx512Bf16, HasAvx512Bf16);
  add(Isa::kAvx512, HasAvx512);
  add(Isa::kAvx2, HasAvx2);
  isas.push_back(Isa::kScalar);
  return isas;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmxBf16:
      return "amx_bf16";
    case Isa::kAvx512Emulated:
      return "avx512-emulated";
    case Isa::kAmxEmulated:
      return "amx-emulated";
  }
  return "unknown";
}

bool HasFullWidthAvx512() {
#if defined(__x86_64__)
  // Asked once: in a virtual machine cpuid is slow.
  static const bool has = [] {
    unsigned version = 0;
    unsigned other = 0;
    __builtin_cpu_init();
    const bool known = __builtin_cpu_is("amd") && HasAvx512() &&
                       __get_cpuid(1, &version, &other, &other, &other) != 0;
    const unsigned family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
    const unsigned models = version >> 16 & 0xf;  // which sixteen of them
    constexpr unsigned kZen5 = 0x1a;
    constexpr unsigned kStrixPoint = 2;
    constexpr unsigned kKrackan = 6;
    return known &&
           (family > kZen5 || (family == kZen5 && models != kStrixPoint && models != kKrackan));
  }();
  return has;
#else
  return false;
#endif
}

std::vector<Isa> UsableIsas() { return Usable(Isa::kAmxBf16); }

bool IsUsable(Isa isa) {
  const std::vector<Isa> isas = UsableIsas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

std::vector<Isa> TestIsas() {
  std::vector<Isa> isas = UsableIsas();
  if (HasAvx2()) isas.insert(isas.end(), {Isa::kAvx512Emulated, Isa::kAmxEmulated});
  return isas;
}

Isa SelectIsa() {
  const char* text = std::getenv("NFCOMPILE_MAX_ISA");
  Isa max_isa = Isa::kAmxBf16;
  if (text != nullptr && *text != '\0') {
    const auto named = [&](Isa isa) { return IsaName(isa) == text; };
    const auto found = std::find_if(std::begin(kLimits), std::end(kLimits), named);
    if (found == std::end(kLimits)) {
      Refuse(
          "NFCOMPILE_MAX_ISA must be one of scalar, avx2, avx512, avx512_bf16, amx_bf16, got ",
          text);
    }
    max_isa = *found;
  }
  return Usable(max_isa).front();
}

Isa IsaFromName(std::string_view name) {
  if (name.empty()) return SelectIsa();
  std::string usable;
  for (const Isa isa : TestIsas()) {
    if (IsaName(isa) == name) return isa;
    usable += Cat(usable.empty() ? "" : ", ", IsaName(isa));
  }
  Refuse("isa must be one of ", usable, " on this machine, got ", name);
}

}  // namespace nfcompile
