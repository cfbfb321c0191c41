// Weights as the kernels on the device take them, still on the host.
//
//   bsr             square blocks of 16, 32, 64 or 128: BSR whose blocks split into such, and
//                   block-diagonal weights whose blocks lie one after the other
//   block_diagonal  square blocks dealt out with a stride (see block_diagonal.h)
//   csr             anything
#ifndef NFCOMPILE_CUDA_PACK_H_
#define NFCOMPILE_CUDA_PACK_H_

#include <cstdint>
#include <vector>

#include "cuda/element_type.h"
#include "cuda/images.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"

namespace nfcompile::cuda {

struct Packed {
  const char* kernel = "";  // its name without what it is specialized for
  int64_t in_features = 0;
  int64_t out_features = 0;
  std::vector<float> values;
  // Index arrays, in the order of the kernel's parameters.
  std::vector<std::vector<int32_t>> lists;
  bool narrow = false;           // csr: the second list is uploaded as uint16
  std::vector<int32_t> strides;  // block_diagonal: of columns and rows
  int64_t units = 0;             // output rows, or blocks, that programs share
  int32_t size = 0;              // of a block
};

struct Types {
  ElementType x = ElementType::kFloat32;
  ElementType values = ElementType::kFloat32;
};

// Whether the kernel that `image` holds computes these weights in these types.
bool Fits(const Packed& packed, const Types& types, const Image& image);

// As what a kernel for these types computes. They check the weights; throw
// std::invalid_argument on malformed ones.
Packed Pack(const CsrView& weights, const Types& types);
Packed Pack(const BsrView& weights, const Types& types);
Packed Pack(const BlockDiagonalView& weights, const Types& types);

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_PACK_H_
