// The kernels, compiled ahead of time from their Triton sources (nfcompile/gpu) and embedded.
#ifndef NFCOMPILE_CUDA_IMAGES_H_
#define NFCOMPILE_CUDA_IMAGES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nfcompile::cuda {

// What a kernel was specialized for; 0 where it has no such constant.
struct Constants {
  int32_t size;       // rows, and columns, of a block
  int32_t rows;       // output rows per program: bsr, bsr_vector
  int32_t group;      // blocks per program: block_diagonal
  int32_t batch;      // rows of the batch per program
  int32_t csr_rows;   // output rows per program: csr
  int32_t x_strided;  // whether the columns of neighbouring blocks lie side by side
  int32_t y_strided;

  // Output rows, or blocks, that one program computes.
  int32_t units() const { return rows + group + csr_rows; }

  // Output rows that one program computes.
  int32_t outputs() const { return group > 0 ? group * size : units(); }

  // Rows of the weight that a program reads for each column of x, of which it reads as many as
  // another program of its kernel, or, with `group`, in proportion to that.
  int32_t weight_rows() const { return group > 0 ? size : units(); }
};

// One kernel for one architecture: a cubin, or PTX that the driver compiles.
struct Image {
  const char* symbol;  // the same for all architectures
  const char* kernel;
  const char* x_type;
  const char* value_type;
  const char* index_type;  // of csr, else ""
  int32_t architecture;    // compute capability: 80, 90
  int32_t is_ptx;
  size_t offset;  // of the image in the data
  size_t size;
  int32_t warps;
  int32_t shared_bytes;
  const char* entry;  // name of the function in the image
  Constants constants;
};

// Empty in a build without Triton.
std::span<const Image> Images();

const void* Data(const Image& image);

// The best image of a symbol for a device of compute capability `architecture`: a cubin of the
// same major version that is not newer, else PTX. Null if there is none.
const Image* FindImage(std::string_view symbol, int architecture, bool ptx_only);

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_IMAGES_H_
