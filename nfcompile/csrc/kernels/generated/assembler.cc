#include "kernels/generated/assembler.h"

#include <cstddef>

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
  code_.push_back(static_cast<uint8_t>(bit(reg, 3) << 7 | 3 << 5 | bit(reg, 4) << 4 | map));
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

void Assembler::Bytes(std::initializer_list<int> bytes) {
  for (const int byte : bytes) code_.push_back(static_cast<uint8_t>(byte));
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

void Assembler::Broadcast(int zmm, Base base, int32_t offset) {  // vbroadcastss zmm, m32
  Evex(zmm, 0, kMap0F38, kPrefix66, false);
  code_.push_back(0x18);
  Memory(zmm, base, offset, sizeof(float));
}

void Assembler::MultiplyAdd(int sum, int x, Base base, int32_t offset) {
  Evex(sum, x, kMap0F38, kPrefix66, true);  // vfmadd231ps zmm, zmm, m32{1to16}
  code_.push_back(0xb8);
  Memory(sum, base, offset, sizeof(float));
}

// `b` takes the place of a memory operand, and of its base's and index's bits in the prefix.
void Assembler::Registers(int map, int prefix, uint8_t opcode, int to, int a, int b) {
  const size_t start = code_.size();
  Evex(to, a, map, prefix, false);
  const int inverted = (~b >> 4 & 1) << 6 | (~b >> 3 & 1) << 5;
  code_[start + 1] = static_cast<uint8_t>((code_[start + 1] & ~(3 << 5)) | inverted);
  code_.push_back(opcode);
  code_.push_back(static_cast<uint8_t>(3 << 6 | (to & 7) << 3 | (b & 7)));
}

void Assembler::Clear(int zmm) {  // vpxord zmm, zmm, zmm
  Registers(kMap0F, kPrefix66, 0xef, zmm, zmm, zmm);
}

void Assembler::Maximum(int to, int a, int b) {  // vmaxps zmm, zmm, zmm
  Registers(kMap0F, kNoPrefix, 0x5f, to, a, b);
}

void Assembler::Or(int to, int a, int b) {  // vpord zmm, zmm, zmm
  Registers(kMap0F, kPrefix66, 0xeb, to, a, b);
}

void Assembler::ReturnNonZero(int zmm) {
  constexpr int kShiftLeft = 6;                              // in place of a register
  Registers(kMap0F, kPrefix66, 0x72, kShiftLeft, zmm, zmm);  // vpslld zmm, zmm, 1: no sign
  code_.push_back(1);
  Registers(kMap0F38, kPrefix66, 0x27, 1, zmm, zmm);  // vptestmd k1, zmm, zmm
  Bytes({0xc5, 0xf8, 0x93, 0xc1});                    // kmovw eax, k1
  Return();
}

void Assembler::Advance(Base base, int32_t bytes) {  // add r64, imm32
  Bytes({0x48, 0x81, 3 << 6 | static_cast<int>(base)});
  Word(bytes);
}

void Assembler::AdvanceByFifth(Base base) {  // add r64, r8
  Bytes({0x4c, 0x01, 3 << 6 | static_cast<int>(base)});
}

void Assembler::Set(Base base, const void* value) {  // mov r64, imm64
  Bytes({0x48, 0xb8 + static_cast<int>(base)});
  const auto bits = reinterpret_cast<uintptr_t>(value);
  Word(static_cast<int32_t>(bits));
  Word(static_cast<int32_t>(bits >> 32));
}

void Assembler::JumpToSecond() { Bytes({0xff, 0xe6}); }  // jmp rsi

void Assembler::JumpToSixth() {  // jmp r9
  Bytes({0x41, 0xff, 0xe1});
}

void Assembler::Add(int to, int a, Base base, int32_t offset) {  // vaddps zmm, zmm, m512
  Evex(to, a, kMap0F, kNoPrefix, false);
  code_.push_back(0x58);
  Memory(to, base, offset, kVectorBytes);
}

void Assembler::LoadEighth() {
  Bytes({0x48, 0x8b, 0x44, 0x24, 0x10});  // mov rax, [rsp + 16]
}

void Assembler::KeepFirst() {
  Bytes({0x49, 0x89, 0xfa});              // mov r10, rdi
  Bytes({0x48, 0x8b, 0x44, 0x24, 0x08});  // mov rax, [rsp + 8]
}

void Assembler::StartTap(int64_t tap) {
  Bytes({0x4c, 0x89, 0xd7});  // mov rdi, r10
  Bytes({0x48, 0x03, 0xb8});  // add rdi, [rax + disp32]
  Word(static_cast<int32_t>(tap * static_cast<int64_t>(sizeof(int64_t))));
}

void Assembler::Return() { code_.push_back(0xc3); }

void Assembler::Align() {
  while (code_.size() % kVectorBytes != 0) code_.push_back(kBreakpoint);
}

}  // namespace nfcompile
