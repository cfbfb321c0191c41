// One sparse product on the device: packed weights, and the kernels that multiply by them.
//
//   y[m, o] = epilogue(sum over i of W[o, i] x[m, i])      see kernels/epilogue.h
#ifndef NFCOMPILE_CUDA_PRODUCT_H_
#define NFCOMPILE_CUDA_PRODUCT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/device_array.h"
#include "cuda/element_type.h"
#include "cuda/images.h"
#include "cuda/pack.h"
#include "kernels/epilogue.h"

namespace nfcompile::cuda {

// Device memory of a run, of the product's type of activations, 16-byte aligned.
struct Operands {
  DevicePointer x = 0;         // [batch, in]
  DevicePointer bias = 0;      // [out], or null
  DevicePointer residual = 0;  // [batch, out], or null
  DevicePointer y = 0;         // [batch, out]
  int64_t batch = 0;
};

class Product {
 public:
  // Uploads the weights and loads the kernels in the current context. Throws
  // std::invalid_argument where no kernel computes these types, std::runtime_error where the
  // driver fails.
  Product(const Packed& packed, const Types& types);

  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  int64_t in_features() const { return in_features_; }
  int64_t out_features() const { return out_features_; }
  ElementType x_type() const { return x_type_; }

  // The kernels that compute this product, those for few rows of the batch first.
  std::vector<std::string> Symbols() const;

  // The kernel that a batch of this size takes.
  const char* Symbol(int64_t batch) const { return Pick(batch).image->symbol; }

  // Enqueues the product in the current context: it neither allocates nor waits, and may be
  // called from several threads at once. Bias and residual of `epilogue` are not read. `symbol`
  // names the kernel, for tests; empty, the batch decides. Throws std::invalid_argument on an
  // operand that is not aligned or no such kernel, std::runtime_error where the driver fails.
  void Launch(const Operands& operands, const Epilogue& epilogue, Stream stream,
              std::string_view symbol = {}) const;

 private:
  struct Kernel {
    const Image* image;
    Function function;
  };

  // The kernel whose programs read the least, one multiprocessor's after the other: rows of x
  // and of weights, in as many rounds as it takes to give each multiprocessor a program at a
  // time.
  const Kernel& Pick(int64_t batch) const;
  const Kernel& Named(std::string_view symbol) const;

  int64_t in_features_;
  int64_t out_features_;
  int64_t units_;
  int multiprocessors_ = 0;
  ElementType x_type_;
  std::vector<DeviceArray> arrays_;  // values, then lists
  std::vector<DevicePointer> pointers_;
  std::vector<int32_t> strides_;
  std::vector<Kernel> kernels_;  // by rows of the batch per program, few first
};

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_PRODUCT_H_
