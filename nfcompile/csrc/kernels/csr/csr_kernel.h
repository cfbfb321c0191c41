// CSR weights packed for one row of x, and the table of kernels that read them.
#ifndef NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_
#define NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/csr/csr.h"
#include "kernels/matmul.h"
#include "kernels/weight_array.h"

namespace nfcompile {

// Output rows are cut apart at multiples of this many.
constexpr int64_t kCsrChunk = 64;

// The rows of a chunk are sorted by length; `width` neighbours make a slice, whose first
// `length` entries interleave, [k][lane]; what longer rows have left follows lane by lane. Rows
// that fill no slice are all rest. No padding: zero times infinity is NaN.
struct CsrSlice {
  int64_t begin;          // of the interleaved entries
  int64_t rest;           // of the entries left over
  int32_t length;         // interleaved entries per lane
  int32_t lanes;          // kernel width, or fewer for rows that fill no slice
  int32_t row[16];        // output row of each lane
  int32_t rest_size[16];  // entries left over of each lane
};

struct CsrSlices {
  int64_t in_features = 0;
  int64_t out_features = 0;
  std::vector<int64_t> chunk;  // first slice of each chunk of kCsrChunk rows, and the end
  std::vector<CsrSlice> slices;
  WeightArray values;
  AlignedArray<uint16_t> narrow;  // column of each entry where in_features <= 65536
  AlignedArray<int32_t> wide;     // else
};

// One entry of the table. Lanes are output rows, and x is gathered; computes outputs `rows`
// (cut at chunks) of batch row m.
struct CsrKernel {
  const char* name;
  Isa isa;
  int width;  // floats in a vector
  void (*vector)(const CsrSlices& weights, const Operands& operands, int64_t m, Range rows);
};

extern const CsrKernel csr_f32_avx2;
extern const CsrKernel csr_f32_avx512;
extern const CsrKernel csr_f32_avx512_emulated;

// The rows of the chunk that starts at row `begin`, the longest first.
std::vector<int32_t> ChunkByLength(const CsrView& view, int64_t begin);

CsrSlices PackCsr(const CsrView& view, int width, Precision precision);

// Rows that read the same columns.
struct CsrKinds {
  explicit CsrKinds(const CsrView& view);
  CsrKinds(const CsrKinds&) = delete;  // columns point into it

  std::vector<std::vector<int32_t>> rows;  // in the order of the first of each kind
  std::vector<const std::vector<int32_t>*> columns;
  bool unstructured = false;  // whether most rows share their columns with no other

 private:
  std::map<std::vector<int32_t>, size_t> kinds_;
};

// For tiles: unstructured rows each for itself, where there is a kernel for that, others by
// kinds.
TileWeights PackCsrTile(const CsrView& view, const CsrKinds& kinds, Isa isa,
                        Precision precision);

// Whether code can be generated for unstructured rows: AVX-512 can run it.
bool CanGenerate(const CsrView& view, const CsrKinds& kinds, Isa isa);

// Whether code of fp32 is faster than tables for wide tiles: where enough of its rows share
// what they read of x.
bool IsWorthCode(const CsrView& view);

// Code for the rows; nothing where it cannot be made executable.
// `window`: of a convolution over planes, or null.
std::optional<TileWeights> GenerateCsrTile(const CsrView& view, const Window* window);

// The readable twin: plain loops over the three arrays.
std::unique_ptr<RowMatMul> MakeScalarCsrMatMul(const CsrView& weights);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_CSR_CSR_KERNEL_H_
