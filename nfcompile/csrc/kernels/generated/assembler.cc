#include "kernels/generated/assembler.h"

namespace nfcompile {
namespace {

// Opcode maps and mandatory prefixes, as the EVEX prefix has them.
constexpr int kMap0F = 1;
constexpr int kMap0F38 = 2;
constexpr int kNoPrefix = 0;
constexpr int kPrefix66 = 1;

constexpr uint8_t kBreakpoint = 0xcc;

}  // namespace

// `reg` goes to ModRM, `second` to vvvv; all register bits but those in ModRM are inverted.
void Assembler::Evex(int reg, int second, int map, int prefix, bool broadcast) {
  const auto bit = [](int number, int at) { return ~number >> at & 1; };
  code_.push_back(0x62);
  code_.push_back(
      static_cast<uint8_t>(bit(reg, 3) << 7 | 3 << 5 | bit(reg, 4) << 4 | map));
  code_.push_back(static_cast<uint8_t>((~second & 15) << 3 | 1 << 2 | prefix));
  const int length512 = 2;
  code_.push_back(
      static_cast<uint8_t>(length512 << 5 | (broadcast ? 1 : 0) << 4 | bit(second, 4) << 3));
}

void Assembler::Memory(int reg, Base base, int32_t offset, int32_t unit) {
  const int registers = (reg & 7) << 3 | static_cast<int>(base);
  const int32_t units = offset / unit;
  if (offset % unit == 0 && units >= -128 && units <= 127) {
    code_.push_back(static_cast<uint8_t>(1 << 6 | registers));
    code_.push_back(static_cast<uint8_t>(units));
  } else {
    code_.push_back(static_cast<uint8_t>(2 << 6 | registers));
    Word(offset);
  }
}

void Assembler::Word(int32_t value) {
  for (int i = 0; i < 4; ++i) {
    code_.push_back(static_cast<uint8_t>(static_cast<uint32_t>(value) >> 8 * i));
  }
}

void Assembler::Load(int zmm, Base base, int32_t offset) {  // vmovups zmm, m512
  Evex(zmm, 0, kMap0F, kNoPrefix, false);
  code_.push_back(0x10);
  Memory(zmm, base, offset, kVectorBytes);
}

void Assembler::Store(int zmm, Base base, int32_t offset) {  // vmovups m512, zmm
  Evex(zmm, 0, kMap0F, kNoPrefix, false);
  code_.push_back(0x11);
  Memory(zmm, base, offset, kVectorBytes);
}

void Assembler::MultiplyAdd(int sum, int x, Base base, int32_t offset) {
  Evex(sum, x, kMap0F38, kPrefix66, true);  // vfmadd231ps zmm, zmm, m32{1to16}
  code_.push_back(0xb8);
  Memory(sum, base, offset, sizeof(float));
}

void Assembler::Advance(Base base, int32_t bytes) {  // add r64, imm32
  code_.push_back(0x48);
  code_.push_back(0x81);
  code_.push_back(static_cast<uint8_t>(3 << 6 | static_cast<int>(base)));
  Word(bytes);
}

void Assembler::Return() { code_.push_back(0xc3); }

void Assembler::Align() {
  while (code_.size() % kVectorBytes != 0) code_.push_back(kBreakpoint);
}

}  // namespace nfcompile
