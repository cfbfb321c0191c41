// Adds `Product` and `Chain` to the module.
#ifndef NFCOMPILE_PYTHON_CHAIN_H_
#define NFCOMPILE_PYTHON_CHAIN_H_

#include <memory>
#include <utility>

#include "kernels/matmul.h"
#include "python/arrays.h"

namespace nfcompile::python {

// Packed weights of any family.
struct Product {
  explicit Product(MatMul packed) : matmul(std::make_shared<const MatMul>(std::move(packed))) {}

  std::shared_ptr<const MatMul> matmul;
};

void BindChain(nb::module_& m);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_CHAIN_H_
