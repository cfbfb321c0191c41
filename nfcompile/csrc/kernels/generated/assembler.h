// The few AVX-512 instructions that generated kernels are made of, as bytes.
//
// Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, section
// 2.7 (the EVEX prefix, and displacements of one byte in units of the operand's size).
#ifndef NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_
#define NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace nfcompile {

// Arguments of a function by the System V calling convention: rdi, rsi, rdx, rcx. The fifth and
// sixth, r8 and r9, have instructions of their own, and so have those on the stack, of which
// the eighth comes to rax.
enum class Base : uint8_t { kFirst = 7, kSecond = 6, kThird = 2, kFourth = 1, kEighth = 0 };

constexpr int kVectorBytes = 64;

class Assembler {
 public:
  // zmm = 16 floats at base + offset.
  void Load(int zmm, Base base, int32_t offset);
  void Store(int zmm, Base base, int32_t offset);

  // zmm = the float at base + offset, in all lanes.
  void Broadcast(int zmm, Base base, int32_t offset);

  // sum += x * the float at base + offset, in all lanes.
  void MultiplyAdd(int sum, int x, Base base, int32_t offset);

  // to = a + 16 floats at base + offset.
  void Add(int to, int a, Base base, int32_t offset);

  // zmm = 0; to = max(a, b), which is b where one of them is NaN; to = a | b, bit by bit.
  void Clear(int zmm);
  void Maximum(int to, int a, int b);
  void Or(int to, int a, int b);

  // The result of the function: the lanes of zmm that are neither 0 nor -0. Changes zmm.
  void ReturnNonZero(int zmm);

  // base = value; base += bytes, or the fifth argument.
  void Set(Base base, const void* value);
  void Advance(Base base, int32_t bytes);
  void AdvanceByFifth(Base base);

  void LoadEighth();

  // Keeps the first argument; then makes it what it was plus entry `tap` of the seventh, an
  // array of int64.
  void KeepFirst();
  void StartTap(int64_t tap);

  void Return();
  void JumpToSecond();
  void JumpToSixth();

  // Fills up to the next cache line.
  void Align();

  std::vector<uint8_t>& code() { return code_; }

 private:
  void Evex(int reg, int second, int map, int prefix, bool broadcast);
  void Registers(int map, int prefix, uint8_t opcode, int to, int a, int b);
  void Bytes(std::initializer_list<int> bytes);
  void Memory(int reg, Base base, int32_t offset, int32_t unit);
  void Word(int32_t value);

  std::vector<uint8_t> code_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_
