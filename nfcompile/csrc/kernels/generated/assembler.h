// The few AVX-512 instructions that generated kernels are made of, as bytes.
//
// Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, section
// 2.7 (the EVEX prefix, and displacements of one byte in units of the operand's size).
#ifndef NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_
#define NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_

#include <cstdint>
#include <vector>

namespace nfcompile {

// The first three arguments of a function by the System V calling convention.
enum class Base : uint8_t { kFirst = 7, kSecond = 6, kThird = 2 };  // rdi, rsi, rdx

constexpr int kVectorBytes = 64;

class Assembler {
 public:
  // zmm = 16 floats at base + offset.
  void Load(int zmm, Base base, int32_t offset);
  void Store(int zmm, Base base, int32_t offset);

  // sum += x * the float at base + offset, in all lanes.
  void MultiplyAdd(int sum, int x, Base base, int32_t offset);

  // base += bytes.
  void Advance(Base base, int32_t bytes);
  void Return();

  // Fills up to the next cache line.
  void Align();

  const std::vector<uint8_t>& code() const { return code_; }

 private:
  void Evex(int reg, int second, int map, int prefix, bool broadcast);
  void Memory(int reg, Base base, int32_t offset, int32_t unit);
  void Word(int32_t value);

  std::vector<uint8_t> code_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_GENERATED_ASSEMBLER_H_
